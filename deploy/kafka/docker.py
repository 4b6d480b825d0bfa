"""A Kafka broker in a container, through testcontainers."""

import os
import socket
from collections.abc import Mapping
from contextlib import closing

import docker
from docker.errors import DockerException, ImageNotFound
from docker.utils import parse_host
from requests.exceptions import RequestException
from testcontainers.core.container import DockerContainer

from deploy.kafka.errors import BrokerStartError, NoBrokerError
from deploy.kafka.ports import free_ports, new_cluster_id, wait_until_ready
from deploy.kafka.properties import single_node

IMAGE = "apache/kafka:4.3.1"
# A daemon that is there answers in milliseconds.
_PING_SECONDS = 3
# For each answer of the daemon while it pulls, not for the whole image.
_PULL_SECONDS = 60
_LOG_TAIL_LINES = 40
_UNIX = "http+unix://"


class DockerServer:
    """One Kafka node in a container that keeps its port and its data until it is removed.

    testcontainers removes the container when this process dies.
    """

    def __init__(self, settings: Mapping[str, str], port: int | None) -> None:
        """settings: added to the broker's.  port: on this machine; without one, any free port.

        Raises NoBrokerError without a Docker daemon that answers and has the image or gets it.
        """
        _require_image()
        self._settings = settings
        self._cluster = new_cluster_id()
        self._port = free_ports(1)[0] if port is None else port
        self._container = self._describe("127.0.0.1")
        # Not the container's own way to find out, which wants it started: brokers advertise it.
        host = self._container.get_docker_client().host()
        if host not in {"127.0.0.1", "localhost"}:  # a daemon on another machine
            self._container = self._describe(host)
        self.bootstrap = f"{host}:{self._port}"
        self._created = False

    @property
    def pid(self) -> int | None:
        """None: the process is the daemon's."""
        return None

    def start(self) -> None:
        """Start the container and wait until the broker answers.

        Raises NoBrokerError when Docker cannot run it, BrokerStartError when it does not answer.
        """
        try:
            if self._created:
                self._container.get_wrapped_container().start()
            else:
                self._container.start()
                self._created = True
        except (DockerException, RequestException, OSError) as error:
            message = f"Docker could not start {IMAGE}: {error}"
            raise NoBrokerError(message) from error
        try:
            wait_until_ready(self.bootstrap, self._check_alive, self._cluster)
        except BrokerStartError as error:
            log = self._container.get_wrapped_container().logs(tail=_LOG_TAIL_LINES)
            self.stop()
            message = f"{error}; its log ends:\n{log.decode('utf-8', errors='replace')}"
            raise BrokerStartError(message) from None
        except BaseException:
            self.stop()
            raise

    def kill(self) -> None:
        """End it as kill -9 does, and wait until the container has stopped."""
        container = self._container.get_wrapped_container()
        container.kill(signal="SIGKILL")
        container.wait()

    def pause(self) -> None:
        """Stop cleanly, and keep the data for the next start."""
        self._container.get_wrapped_container().stop()

    def stop(self) -> None:
        """Remove the container and its data. Twice does no harm."""
        if self._created:
            self._created = False
            self._container.stop()

    def _describe(self, host: str) -> DockerContainer:
        properties = single_node(
            self._settings,
            listen="0.0.0.0",  # noqa: S104 - of the container
            advertise=host,
            port=self._port,
            controller=self._port + 1,
        )
        container = DockerContainer(IMAGE).with_bind_ports(self._port, self._port)
        container = container.with_env("CLUSTER_ID", self._cluster)
        for name, value in properties.items():
            container = container.with_env("KAFKA_" + name.upper().replace(".", "_"), value)
        return container

    def _check_alive(self) -> None:
        container = self._container.get_wrapped_container()
        container.reload()
        if container.status == "exited":
            message = "the broker's container ended"
            raise BrokerStartError(message)


def _require_image() -> None:
    try:
        _require_socket()
        with closing(docker.from_env(timeout=_PING_SECONDS)) as client:
            client.ping()
    except (DockerException, RequestException, OSError) as error:
        message = "no Docker daemon answers"
        raise NoBrokerError(message) from error
    with closing(docker.from_env(timeout=_PULL_SECONDS)) as client:
        try:
            client.images.get(IMAGE)
        except ImageNotFound:
            _pull(client)


def _require_socket() -> None:
    """Raise OSError where nobody listens: the client, if asked there, leaves a socket open."""
    address = str(parse_host(os.environ.get("DOCKER_HOST")))
    if address.startswith(_UNIX):
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_PING_SECONDS)
            probe.connect(address.removeprefix(_UNIX))


def _pull(client: docker.DockerClient) -> None:
    try:
        client.images.pull(IMAGE)
    except (DockerException, RequestException) as error:
        message = f"Docker is there, but could not pull {IMAGE}: {error}"
        raise NoBrokerError(message) from error
