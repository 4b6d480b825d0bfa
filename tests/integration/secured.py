"""A broker behind TLS, SASL/SCRAM and access lists, with certificates made on the spot."""

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from deploy.kafka import Broker, start_broker
from deploy.kafka.ports import free_ports
from tests.integration.topics import Topics

USER: Final = "dedup-job"
PASSWORD: Final = "right-Pa55word-nobody-may-see"  # noqa: S105 - of a broker that lives a minute
CLIENT_NAME: Final = "dedup-certificate"
KEY_PASSWORD: Final = "keyPa55word-nobody-may-see"  # noqa: S105
_MECHANISM: Final = "SCRAM-SHA-512"
# As few as Kafka takes: hashing is what makes guessing slow, and nobody guesses here.
_ITERATIONS: Final = 4096
_SECONDS: Final = 30.0
_NEW_KEY: Final = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: two authorities, of which the first signed the broker and the client."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> "Certificates":
        """Have openssl make them."""
        made = cls(folder)
        for authority in ("ca", "stranger"):
            made._openssl(
                f"req -x509 {_NEW_KEY} -days 2 -subj /CN={authority} "
                f"-keyout {authority}.key -out {authority}.pem"
            )
        extensions = folder / "broker.ext"
        extensions.write_text("subjectAltName=IP:127.0.0.1\n")
        made._sign("broker", "127.0.0.1", f"-extfile {extensions}")
        made._sign("client", CLIENT_NAME, "")
        made._openssl(
            f"pkcs8 -topk8 -v2 aes256 -in client.key -out locked.key -passout pass:{KEY_PASSWORD}"
        )
        return made

    def __getitem__(self, name: str) -> str:
        return str(self.folder / name)

    def _sign(self, name: str, common_name: str, extra: str) -> None:
        self._openssl(f"req {_NEW_KEY} -subj /CN={common_name} -keyout {name}.key -out {name}.csr")
        self._openssl(
            f"x509 -req -days 2 -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial "
            f"-out {name}.pem {extra}"
        )

    def _openssl(self, arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments.split()], cwd=self.folder, check=True, capture_output=True
        )


@dataclass(frozen=True)
class SecuredBroker:
    """One broker, three doors.

    bootstrap: without any lock, for the test itself, which may do everything.
    scram: TLS, and a user with a password.  mutual: TLS, and a client's certificate.
    """

    broker: Broker
    scram: str
    mutual: str
    certificates: Certificates

    @property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.broker.bootstrap, "log_level": 0})

    def by_password(self, **changed: str) -> dict[str, str]:
        """`DEDUP_*` variables of a job that comes with the right password.

        changed: librdkafka settings with _ for the dots; an empty one is left out.
        """
        kafka = {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": _MECHANISM,
            "sasl.username": USER,
            "sasl.password": PASSWORD,
            "ssl.ca.location": self.certificates["ca.pem"],
        }
        return _variables(self.scram, kafka, changed)

    def by_certificate(self, **changed: str) -> dict[str, str]:
        """`DEDUP_*` variables of a job that comes with the right certificate."""
        kafka = {
            "security.protocol": "SSL",
            "ssl.ca.location": self.certificates["ca.pem"],
            "ssl.certificate.location": self.certificates["client.pem"],
            "ssl.key.location": self.certificates["locked.key"],
            "ssl.key.password": KEY_PASSWORD,
        }
        return _variables(self.mutual, kafka, changed)

    def allow(self, grants: Iterable["Grant"], principal: str = f"User:{USER}") -> None:
        """Let a principal do these things."""
        bindings = [
            AclBinding(
                grant.kind,
                grant.name,
                grant.pattern,
                principal,
                "*",
                operation,
                AclPermissionType.ALLOW,
            )
            for grant in grants
            for operation in grant.operations
        ]
        admin = self.admin
        for done in admin.create_acls(bindings).values():
            done.result(_SECONDS)

    def forbid(self, grant: "Grant | None" = None) -> None:
        """Take back what was allowed on a resource, on all without one."""
        what = AclBindingFilter(
            grant.kind if grant else ResourceType.ANY,
            grant.name if grant else None,  # type: ignore[arg-type]  # stubs know names only
            ResourcePatternType.ANY,
            None,  # type: ignore[arg-type]
            None,  # type: ignore[arg-type]
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        admin = self.admin
        for done in admin.delete_acls([what]).values():
            done.result(_SECONDS)


@dataclass(frozen=True)
class Grant:
    """Some operations on one resource."""

    kind: ResourceType
    name: str
    operations: tuple[AclOperation, ...]
    pattern: ResourcePatternType = ResourcePatternType.LITERAL


def grants_for(topics: Topics) -> dict[str, Grant]:
    """What a job needs whose topics were made for it, by what it is needed for.

    docs/operations.md has the same list.
    """
    read, write, describe = AclOperation.READ, AclOperation.WRITE, AclOperation.DESCRIBE
    topic = ResourceType.TOPIC
    outputs = {verdict: Grant(topic, name, (write,)) for verdict, name in topics.outputs.items()}
    changelog = (read, write, AclOperation.DELETE, AclOperation.DESCRIBE_CONFIGS)
    return {
        "input": Grant(topic, topics.input, (read,)),
        **outputs,
        "changelog": Grant(topic, f"{topics.prefix}-changelog", changelog),
        "group": Grant(ResourceType.GROUP, topics.prefix, (read,)),
        "transactional id": Grant(
            ResourceType.TRANSACTIONAL_ID,
            f"{topics.prefix}-lane-",
            (write, describe),
            ResourcePatternType.PREFIXED,
        ),
    }


@contextmanager
def secured_broker(folder: Path) -> Iterator[SecuredBroker]:
    """Start a broker that lets in nobody unknown."""
    certificates = Certificates.make(folder)
    plain, scram, mutual, controller = free_ports(4)
    ports = {"PLAINTEXT": plain, "SCRAM": scram, "MUTUAL": mutual}
    listeners = ",".join(f"{name}://127.0.0.1:{port}" for name, port in ports.items())
    keystore = folder / "keystore.pem"
    keystore.write_text(
        Path(certificates["broker.key"]).read_text() + Path(certificates["broker.pem"]).read_text()
    )
    settings = {
        "listeners": f"{listeners},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": listeners,
        "controller.quorum.voters": f"1@127.0.0.1:{controller}",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SCRAM:SASL_SSL,MUTUAL:SSL"
        ),
        "sasl.enabled.mechanisms": _MECHANISM,
        "listener.name.scram.scram-sha-512.sasl.jaas.config": (
            "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        ),
        "listener.name.mutual.ssl.client.auth": "required",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": certificates["ca.pem"],
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        # Who comes in by the open door: the broker itself and the test.
        "super.users": "User:ANONYMOUS",
    }
    # Its own folder says Java: a container would show one of the doors only.
    with start_broker(settings=settings, port=plain, data_dir=folder / "broker") as broker:
        found = SecuredBroker(broker, f"127.0.0.1:{scram}", f"127.0.0.1:{mutual}", certificates)
        user = UserScramCredentialUpsertion(
            USER, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _ITERATIONS), PASSWORD.encode()
        )
        admin = found.admin
        admin.alter_user_scram_credentials([user])[USER].result(_SECONDS)
        yield found


def _variables(
    bootstrap: str, kafka: Mapping[str, str], changed: Mapping[str, str]
) -> dict[str, str]:
    settings = {**kafka, **{name.replace("_", "."): value for name, value in changed.items()}}
    kept = {name: value for name, value in settings.items() if value}
    return {"DEDUP_BROKERS": bootstrap, "DEDUP_KAFKA": json.dumps(kept)}
