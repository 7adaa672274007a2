"""Names as a child resolves them: a small library, preloaded, that takes the answers for one name from a file."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

NAME = "db.faults.test"
_SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>

/* The first line of $WHERRY_TEST_ANSWERS is the next answer; each is used once, the last for ever. */
static int answer(const char *path, char *line, int size) {
    char rest[4096] = "";
    size_t n = 0;
    FILE *file = fopen(path, "r+");
    if (!file) return 0;
    flock(fileno(file), LOCK_EX);
    if (fgets(line, size, file)) {
        line[strcspn(line, "\n")] = 0;
        n = fread(rest, 1, sizeof rest, file);
    }
    if (n) {
        rewind(file);
        fwrite(rest, 1, n, file);
        fflush(file);
        if (ftruncate(fileno(file), n)) line[0] = 0;
    }
    fclose(file);
    return 1;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    const char *path = getenv("WHERRY_TEST_ANSWERS");
    char line[256] = "";
    real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!node || !path || strcmp(node, "db.faults.test")) return real(node, service, hints, found);
    if (!answer(path, line, sizeof line) || !strcmp(line, "fail")) return EAI_AGAIN;
    return real(line, service, hints, found);
}
"""


class Resolver:
    """What `db.faults.test` stands for in a child that gets `env`. None without a C compiler."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "answers"
        library = folder / "resolver.so"
        source = folder / "resolver.c"
        source.write_text(_SOURCE.replace("#include <sys/file.h>", "#include <sys/file.h>\n#include <unistd.h>"))
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True, capture_output=True)
        self.env = {"LD_PRELOAD": str(library), "WHERRY_TEST_ANSWERS": str(self._file)}
        self.answers("127.0.0.1")

    @staticmethod
    def possible() -> bool:
        """Whether there is a compiler."""
        return shutil.which("cc") is not None

    def answers(self, *answers: str) -> None:
        """Addresses, or "fail", in this order; the last for ever."""
        self._file.write_text("\n".join(answers) + "\n")

    def left(self) -> int:
        """Answers that were not given yet, the lasting one among them."""
        return len(self._file.read_text().splitlines())
