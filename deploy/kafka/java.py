"""A Kafka broker as a Java process, from jars that Maven fetches once."""

import contextlib
import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.kafka.errors import BrokerStartError, NoBrokerError
from deploy.kafka.ports import free_ports, new_cluster_id, wait_until_ready
from deploy.kafka.properties import single_node

_HERE = Path(__file__).resolve().parent
_POM = _HERE / "pom.xml"
_LOGGING = _HERE / "log4j2.properties"
_CACHE = _HERE.parents[1] / ".cache" / "kafka"

_OLDEST_JAVA = 17
_LOG_TAIL_BYTES = 4_000
# A clean stop of one node takes a second or two.
_STOP_SECONDS = 30.0
_PR_SET_PDEATHSIG = 1

# Formatting takes a second of a JVM's time, most of it compiling: the quick compiler will do.
_FORMAT_FLAGS = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_SERVER_FLAGS = ("-Xmx768m", "-Xms256m", "-XX:+UseG1GC", "-Xshare:auto")

# The kernel's parent-death signal follows the thread that forked, so one thread that lives as
# long as the interpreter starts every broker.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="broker-spawner")


class JavaNode:
    """One Kafka node on 127.0.0.1 that keeps its ports and its data from start to start.

    It dies with this process, however this process dies.
    """

    def __init__(  # noqa: PLR0913 - what a node is made of
        self,
        properties: Mapping[str, str],
        folder: Path,
        *,
        bootstrap: str,
        cluster: str,
        temporary: bool,
        flags: Sequence[str],
    ) -> None:
        """properties: of the node, but for its folder.  folder: of its data and its log.
        bootstrap: its address for clients.  cluster: the id that it gets unless it has data.
        temporary: whether the folder is removed on stop.  flags: Java's.
        Raises NoBrokerError without Java 17 or the jars.
        """
        self._java = find_java()
        self._classpath = f"{_jars()}/*"
        self.bootstrap = bootstrap
        self._new_cluster = cluster
        self._temporary = temporary
        self._flags = flags
        self._dir = folder
        (self._dir / "tmp").mkdir(parents=True, exist_ok=True)
        self._log = self._dir / "broker.log"
        self._properties = self._dir / "server.properties"
        self._meta = self._dir / "data" / "meta.properties"
        self._process: subprocess.Popen[bytes] | None = None
        lines = {"log.dirs": str(self._dir / "data"), **properties}
        text = "".join(f"{name}={value}\n" for name, value in lines.items())
        self._properties.write_text(text, encoding="utf-8")

    @property
    def pid(self) -> int | None:
        """The Java process, None while there is none."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start the node and wait until it answers; raise BrokerStartError if it does not."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start the node, and do not wait: one of a cluster answers when others are there."""
        if not self._meta.exists():
            self._format()
        arguments = (*self._flags, "-cp", self._classpath, "kafka.Kafka", str(self._properties))
        self._process = _spawner.submit(self._spawn, arguments).result()

    def wait_until_ready(self) -> None:
        """Wait until the node answers; raise BrokerStartError if it does not."""
        try:
            wait_until_ready(self.bootstrap, self._check_alive, self._cluster())
        except BrokerStartError as error:
            self.kill()
            message = f"{error}; its log ends:\n{self._log_tail()}"
            raise BrokerStartError(message) from None
        except BaseException:
            self.kill()
            raise

    def send(self, what: signal.Signals) -> None:
        """Send a signal to the process, if there is one."""
        if self._process is not None:
            self._process.send_signal(what)

    def kill(self) -> None:
        """End it as kill -9 does, and wait until the process is gone."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop cleanly where data is kept, at once where it is not."""
        self._end(signal.SIGKILL if self._temporary else signal.SIGTERM)
        if self._temporary:
            shutil.rmtree(self._dir, ignore_errors=True)

    def pause(self) -> None:
        """Stop cleanly, and keep the data for the next start."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _format(self) -> None:
        tool = ("kafka.tools.StorageTool", "format", "-t", self._new_cluster)
        arguments = (*_FORMAT_FLAGS, "-cp", self._classpath, *tool, "-c", str(self._properties))
        if _spawner.submit(self._spawn, arguments).result().wait() != 0:
            message = f"the broker's storage was not formatted; the log ends:\n{self._log_tail()}"
            raise BrokerStartError(message)

    def _cluster(self) -> str:
        lines = self._meta.read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith("cluster.id=")).partition("=")[2]

    def _spawn(self, arguments: tuple[str, ...]) -> subprocess.Popen[bytes]:
        command = [
            self._java,
            # No /tmp/hsperfdata, no unpacked native libraries left behind by a kill -9.
            "-XX:-UsePerfData",
            f"-Djava.io.tmpdir={self._dir / 'tmp'}",
            f"-Dlog4j2.configurationFile={_LOGGING}",
            *arguments,
        ]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C is ours to handle, not the broker's.
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - it calls the kernel, nothing else
            )

    def _check_alive(self) -> None:
        status = self._process.poll() if self._process else None
        if status is not None:
            message = f"the broker ended with status {status}"
            raise BrokerStartError(message)

    def _log_tail(self) -> str:
        log = self._log.read_bytes()[-_LOG_TAIL_BYTES:]
        return log.decode("utf-8", errors="replace").strip()


class JavaServer(JavaNode):
    """A node that is alone."""

    def __init__(
        self, settings: Mapping[str, str], data_dir: Path | None, port: int | None
    ) -> None:
        """settings: added to server.properties.  data_dir: kept on stop; without one, temporary.
        port: of the broker; without one, any free port.
        Raises NoBrokerError without Java 17 or the jars.
        """
        if port is None:
            port, controller = free_ports(2)
        else:
            [controller] = free_ports(1)
        super().__init__(
            single_node(
                settings,
                listen="127.0.0.1",
                advertise="127.0.0.1",
                port=port,
                controller=controller,
            ),
            data_dir or Path(tempfile.mkdtemp(prefix="dedup-kafka-")),
            bootstrap=f"127.0.0.1:{port}",
            cluster=new_cluster_id(),
            temporary=data_dir is None,
            flags=_SERVER_FLAGS,
        )


def _load_prctl() -> ctypes.CDLL | None:
    return ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


# Loaded before any fork: between fork and exec nothing may import or allocate much.
_libc = _load_prctl()


def _die_with_parent() -> None:
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def find_java() -> str:
    """Return the path of a `java` that is new enough, or raise NoBrokerError."""
    home = os.environ.get("JAVA_HOME")
    candidates = [str(Path(home, "bin", "java"))] if home else []
    for candidate in [*candidates, "java"]:
        java = shutil.which(candidate)
        if java is None:
            continue
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
        found = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
        if found and int(found[1]) >= _OLDEST_JAVA:
            return java
    message = f"no Java {_OLDEST_JAVA} or later"
    raise NoBrokerError(message)


def _jars() -> Path:
    """The folder with the pom's jars, fetched by the first who asks.

    The name follows the pom, so that a new version is fetched beside the old one.
    """
    lib = _CACHE / f"lib-{hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]}"
    if lib.is_dir():
        return lib
    with _locked(_CACHE / "lock"):
        if not lib.is_dir():
            _fetch_jars(lib)
    return lib


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch_jars(lib: Path) -> None:
    maven = shutil.which("mvn")
    if maven is None:
        message = "Java is there, but Maven (mvn), which fetches Kafka's jars, is not"
        raise NoBrokerError(message)
    print("Fetching Kafka's jars with Maven, once.", file=sys.stderr, flush=True)
    partial = Path(tempfile.mkdtemp(prefix="partial-", dir=lib.parent))
    try:
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        command = [maven, "-q", "-B", *goal, "-f", str(_POM), f"-DoutputDirectory={partial}"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False)
        if answer.returncode != 0:
            output = (answer.stdout + answer.stderr).strip()[-_LOG_TAIL_BYTES:]
            message = f"Maven could not fetch Kafka's jars; its output ends:\n{output}"
            raise NoBrokerError(message)
        partial.rename(lib)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
