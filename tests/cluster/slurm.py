"""A real SLURM for tests: two nodes, both of them this machine, everything in one folder."""

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

CONFIG = """\
ClusterName=fer
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={ports[0]}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,batch_sched_delay=0
MpiDefault=none
KillWait=5
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=8000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=8000
PartitionName=test Nodes=ALL Default=YES State=UP
"""
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start munge, the controller and two nodes; gives the environment in which ``sbatch`` finds them."""
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name, path=PATH)]
    if missing:
        pytest.fail(f"{', '.join(missing)} not found; Debian and Ubuntu: apt-get install slurm-wlm munge")
    for name in ("state", "spool-n1", "spool-n2"):
        (folder / name).mkdir()
    key, config = folder / "munge.key", folder / "slurm.conf"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    config.write_text(CONFIG.format(folder=folder, host=host, user=getpass.getuser(), ports=free_ports(3)))
    files = [
        f"--{name}={folder}/munge.{name.partition('-')[0]}" for name in ("socket", "pid-file", "log-file", "seed-file")
    ]
    environment = {"SLURM_CONF": str(config), "PATH": PATH}
    with ExitStack() as stack:
        # --force: pytest lets nobody else into the folder, munge would want it open for all users
        munge = ["munged", "--foreground", "--force", f"--key-file={key}", "--num-threads=1", *files]
        stack.enter_context(daemon(munge, folder / "munge.txt", environment))
        wait_for((folder / "munge.socket").exists, f"munge; its messages are in {folder}")
        for name in ("", "n1", "n2"):
            command = ["slurmd", "-D", "-N", name] if name else ["slurmctld", "-D"]
            stack.enter_context(daemon(command, folder / f"slurm-{name}.txt", environment))
        nodes = ["sinfo", "--noheader", "--format=%T %D"]
        wait_for(lambda: said(nodes, environment) == "idle 2", f"two idle nodes; SLURM's messages are in {folder}")
        try:
            yield environment
        finally:
            said(["scancel", "--user", getpass.getuser()], environment)
            wait_for(lambda: not said(["squeue", "--noheader"], environment), "an empty queue")


@contextmanager
def daemon(command: list[str], log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("w") as file:
        process = subprocess.Popen(command, env=os.environ | environment, stdout=file, stderr=file)
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:  # a node whose controller is gone
            process.kill()
            process.wait()


def said(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def wait_for(condition, what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds:.0f} s for {what}")
        time.sleep(0.2)


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for opened in sockets:
        opened.bind(("127.0.0.1", 0))
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports
