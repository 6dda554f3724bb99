"""Gets the official Keycloak server distribution and says how to run it for this stack.

Keycloak publishes its server on Maven Central. The unpacked and built distribution is never written to afterwards;
the instance has a home of its own beside it, which links to the distribution and holds the database and the
realm file, so that a new release leaves both where they are.
"""

import hashlib
import json
import os
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from infra.deploy.problems import SetupError
from infra.deploy.shell import run
from infra.settings import Settings

VERSION = "26.7.3"
SHA256 = "77657f30b7e90d70f727712ce1c967f430fd6a5e9f458d32d8c6df0635345f47"
ADMIN = "kilonova-admin"
_PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
_LINKS = ("bin", "conf", "lib", "providers", "themes", "version.txt")
# The second compiler takes more of a small machine's time than its code gives back: it doubles the start.
_JAVA = "-Xms64m -Xmx256m -XX:TieredStopAtLevel=1 -XX:-UsePerfData"


def distribution(settings: Settings) -> Path:
    return settings.state / "keycloak-dist" / f"keycloak-{VERSION}"


def home(settings: Settings) -> Path:
    """The instance's own folder: database and realm file."""
    return settings.state / "keycloak"


def scratch_directory(settings: Settings) -> Path:
    """Where the server keeps what it would otherwise leave in the machine's /tmp."""
    return home(settings) / "tmp"


def install(settings: Settings) -> None:
    """Have the distribution and the instance's home in the state folder; quick if they are there already.

    Raises:
        SetupError: Maven or Java is missing or failed, or the archive is not the pinned one.
    """
    target = distribution(settings)
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as scratch:
            _unpack(Path(scratch)).rename(target)
    place = home(settings)
    scratch_directory(settings).mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    for name in _LINKS:
        link = place / name
        link.unlink(missing_ok=True)
        link.symlink_to(target / name)


def _unpack(scratch: Path) -> Path:
    mend = "Check that Maven reaches its central repository or a mirror of it (~/.m2/settings.xml), then run it again."
    artifact = f"-Dartifact=org.keycloak:keycloak-quarkus-dist:{VERSION}:tar.gz"
    run(["mvn", "-q", "-B", _PLUGIN, artifact, f"-DoutputDirectory={scratch}"], mend=mend)
    archive = scratch / f"keycloak-quarkus-dist-{VERSION}.tar.gz"
    with archive.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise SetupError(
            f"{archive.name} has the SHA-256 {found} instead of {SHA256}.",
            "The repository that Maven used gives out something else than the release: use another one.",
        )
    run(["tar", "-xzf", archive, "-C", scratch], mend="See whether there is space left on the disk.")
    unpacked = scratch / f"keycloak-{VERSION}"
    run([unpacked / "bin" / "kc.sh", "build", "--db=dev-file"], mend="Keycloak needs Java 17 or later (java -version).")
    return unpacked


def write_realm(settings: Settings, realm: dict[str, object]) -> None:
    """Write the realm file, readable by its owner only. Keycloak imports it unless it has that realm already."""
    directory = home(settings) / "data" / "import"
    directory.mkdir(parents=True, exist_ok=True)
    file = directory / f"{settings.keycloak.realm}-realm.json"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        json.dump(realm, stream, indent=1)


def command(settings: Settings) -> list[str]:
    """The command that runs the server of this stack in the foreground; SIGTERM ends it."""
    address = urlsplit(settings.keycloak.url)
    return [
        str(distribution(settings) / "bin" / "kc.sh"),
        *("start", "--optimized", "--import-realm", "--log-level=warn"),
        # Anything else opens a port for a cluster.
        "--cache=local",
        "--http-enabled=true",
        f"--http-host={address.hostname}",
        f"--http-port={address.port or 80}",
        f"--hostname={settings.keycloak.url}",
        f"-Dkc.home.dir={home(settings)}",
        f"-Djava.io.tmpdir={scratch_directory(settings)}",
    ]


def environment(settings: Settings) -> dict[str, str]:
    """The variables of the server's process beside the usual ones.

    The administrator is for people at Keycloak's own console; Kilonova's services don't use it.
    """
    variables = {"JAVA_OPTS_KC_HEAP": _JAVA}
    password = settings.deploy.keycloak_admin_password.get_secret_value()
    if password:
        variables |= {"KC_BOOTSTRAP_ADMIN_USERNAME": ADMIN, "KC_BOOTSTRAP_ADMIN_PASSWORD": password}
    return variables


def answers(settings: Settings) -> bool:
    """Whether the server of this stack serves its realm."""
    try:
        return httpx.get(f"{settings.keycloak.url}/realms/{settings.keycloak.realm}", timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
