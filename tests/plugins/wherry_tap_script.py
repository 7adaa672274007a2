"""A tap that does what it is told: its configuration, or the file after `--script`, lists steps.

catalog: what `--discover` prints.  steps: `say` (a message), `text` (bytes as latin-1), `cat` (a file), `err`, `exit`,
`kill` (itself), `sleep`, `close` (standard output), `flood` (lines of standard error), `daemon` (a process that holds
standard output open, in a session of its own), `keep` (writes its own arguments to a file).
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time


def step(verb, value):  # noqa: C901 (a list of verbs)
    out = sys.stdout.buffer
    if verb == "say":
        out.write(json.dumps(value).encode() + b"\n")
    elif verb == "text":
        out.write(value.encode("latin-1"))
    elif verb == "repeat":
        for n in range(value["times"]):
            out.write(value["line"].replace("%d", str(n)).encode() + b"\n")
    elif verb == "long":
        out.write(value["before"].encode() + b"x" * value["size"] + value["after"].encode() + b"\n")
    elif verb == "cat":
        out.flush()
        with open(value, "rb") as file:
            shutil.copyfileobj(file, out, 1 << 20)
    elif verb == "err":
        sys.stderr.write(value)
        sys.stderr.flush()
    elif verb == "flood":
        lines = b"DEBUG something happened again\n" * 1000
        for _ in range(value // 1000):
            os.write(2, lines)
    elif verb == "daemon":
        daemon = subprocess.Popen(["sleep", str(value["seconds"])], start_new_session=True, stdin=subprocess.DEVNULL)
        with open(value["pid"], "w") as file:
            file.write(str(daemon.pid))
    elif verb == "keep":
        found = {}
        for option in ("--config", "--catalog", "--properties", "--state"):
            if option in sys.argv:
                with open(sys.argv[sys.argv.index(option) + 1]) as file:
                    found[f"{option}-text"] = file.read()
                found[option] = json.loads(found[f"{option}-text"])
        found["pid"], found["parent"], found["env"] = os.getpid(), os.getppid(), dict(os.environ)
        found["--config-file"] = sys.argv[sys.argv.index("--config") + 1]
        found["modes"] = [oct(os.stat(a).st_mode & 0o777) for a in sys.argv if os.path.isfile(a) and "/run-" in a]
        with open(value + ".new", "w") as file:
            json.dump(found, file)
        os.replace(value + ".new", value)
    elif verb == "sleep":
        out.flush()
        time.sleep(value)
    elif verb == "close":
        out.flush()
        os.close(1)
        os.open(os.devnull, os.O_WRONLY)
    elif verb in ("exit", "kill"):
        out.flush()
        if verb == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        os._exit(value)


def main():
    if "--about" in sys.argv:
        sys.exit("no such option: --about")
    if "--help" in sys.argv:
        print("usage: tap-script --config C [--discover] [-p PROPERTIES, --properties P] [--state S] [--catalog C]")
        return
    with open(sys.argv[sys.argv.index("--config") + 1]) as file:
        config = json.load(file)
    if "--script" in sys.argv:
        with open(sys.argv[sys.argv.index("--script") + 1]) as file:
            config |= json.load(file)
    if "--discover" in sys.argv:
        print(json.dumps(config["catalog"]))
        return
    for one in config["steps"]:
        for verb, value in one.items():
            step(verb, value)
    sys.stdout.flush()


main()
