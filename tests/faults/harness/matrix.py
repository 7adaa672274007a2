"""The fault matrix: what can go wrong, and what has to come of it. Each row has tests, or says why it can have none.

"exact": rerun after the fault is gone, the tables equal those of an undisturbed run, and nothing is left behind.
A number such as "exit 9" is the exit code of the disturbed run.

The kill points of rows 1 and 3 are K01 to K17 of `wherry.failpoints`; K18 is that of row 60. There is no K19
and no K20 (a source's or a destination's program dead in the middle of a line or with a batch in its pipe: see rows 7
to 9).
"""

from __future__ import annotations

from dataclasses import dataclass

_OBJECTS = "no object store yet"
_CHILDREN = "no destination that runs as a program of its own yet"


@dataclass(frozen=True, slots=True)
class Row:
    """One fault. absent: why it cannot happen to the connectors that there are."""

    number: int
    fault: str
    outcome: str
    absent: str = ""


GROUPS: dict[str, tuple[Row, ...]] = {
    "Processes": (
        Row(1, "SIGKILL at each kill point, in each mode, on each destination", "exact"),
        Row(2, "SIGKILL, and an error, at the Nth fsync, write, rename, send, for every N", "exact for every N"),
        Row(3, "killed again while it recovers from a kill", "exact"),
        Row(4, "the answer to a COMMIT is lost; the server has committed, or has not", "exact; no duplicate in append"),
        Row(5, "SIGTERM while reading, writing, committing", "the batch committed or dropped whole; exit 143"),
        Row(6, "SIGINT, and once more", "first a clean stop, then at once; exact"),
        Row(7, "the parent alone is killed, its children live", "children gone in 2 s; exact"),
        Row(8, "a source's child is killed in the middle of a line", "half a line is no row; exit 3"),
        Row(9, "a destination's child is killed", "exit 4 within 5 s", _CHILDREN),
        Row(
            10,
            "the database server, or a source's child, stands still for a while, or for good",
            "a warning; exact, or exit 4 or 3 in time",
        ),
        Row(
            11, "a run stands still past its lease, another takes over, the first goes on", "its commit refused, exit 7"
        ),
        Row(12, "out of memory, by limit and by kill", "exit 9 with advice, or killed; exact"),
        Row(13, "too many open files", "exit 9; exact"),
        Row(14, "no more threads or processes", "exit 9; exact"),
        Row(
            15, "two runs of one pipeline at once, again and again", "one exits 0, the other 7 naming the holder; exact"
        ),
        Row(16, "eight pipelines into one schema at once", "all exit 0; exact"),
        Row(17, "the lease of a machine that is gone", "taken over after its time, with a message"),
        Row(18, "killed between a change of the table and its rows", "the database opens; exact"),
        Row(
            19,
            "killed, or begun, while a reader has the database file open",
            "exit 4 or 7 naming the holder; nothing lost",
        ),
        Row(20, "the destination waits for a lock for ever", "exit 4 in time, naming who blocks"),
    ),
    "Disk and files": (
        Row(21, "disk full: database, log and spill folders", "exit 9 naming the folder; exact after making room"),
        Row(22, "no inodes left", "exit 9 naming the folder; exact after making room"),
        Row(23, "disk full exactly at fsync or close", "success is never reported"),
        Row(24, "one fsync fails, the next would not", "the batch fails and is done again whole"),
        Row(25, "a short write", "detected"),
        Row(
            26,
            "local state or bookkeeping empty, cut, flipped, of a wrong type, huge, newer, foreign",
            "rebuilt, or exit 8 with the remedy; never from zero",
        ),
        Row(27, "state folder read-only, or another user's", "told before the source is read"),
        Row(28, "a symlink planted where we write", "refused, exit 11; its target unchanged"),
        Row(29, "a folder swapped for a symlink in mid-run", "writes stay inside"),
        Row(30, "umask 000", "files 0600, folders 0700"),
        Row(31, "streams called ../../x, /x, a/b, CON, 300 bytes, empty, with NUL", "a mapped name, or exit 6"),
        Row(32, "names that differ by case or normal form alone", "different tables, the same in each run"),
        Row(33, "staging left by killed runs, other versions, other pipelines", "ours cleaned, others' untouched"),
    ),
    "Network and servers": (
        Row(34, "the server restarts as in a crash, at random moments", "exact; exit 0, or 4 when patience ends"),
        Row(35, "every process of the server is killed, then started again", "exact; exit 0, or 4 when patience ends"),
        Row(36, "one backend is ended in mid-COPY", "the batch is done again whole; exact"),
        Row(37, "the connection is reset after n bytes, for all n", "exact for every n"),
        Row(38, "the server is gone without a word", "time limits end it; exit 4 or 3"),
        Row(39, "an idle connection is dropped while the source is slow", "exact; exit 0"),
        Row(40, "a 56 kbit/s line", "completes in flat memory"),
        Row(41, "a name does not resolve, then to another address", "tried again"),
        Row(42, "TLS: expired, wrong host, self-signed, downgraded", "refused; insecure must be said, and is logged"),
        Row(43, "the server's disk is full", "exit 4 naming it; exact afterwards"),
        Row(44, "a privilege revoked in mid-run", "exit 4 or 2 naming privilege and object; nothing half-visible"),
        Row(45, "deadlock, serialization failure", "tried again; exact"),
        Row(
            46,
            "columns and tables changed in the destination, between and in runs",
            "each case as written; never a second table",
        ),
        Row(47, "the table exists already, a view of that name, another owner", "refused unless adopted"),
        Row(48, "MySQL's limits and modes", "chunked or refused", "no MySQL yet"),
        Row(49, "object stores that fail", "the manifest stays atomic; exact", _OBJECTS),
        Row(50, "two writers of one manifest", "the loser reads again; exact", _OBJECTS),
        Row(51, "a warehouse job accepted, its answer lost", "the same job again", "no such warehouse yet"),
    ),
    "HTTP sources": (
        Row(52, "429 and every Retry-After", "waits right, or exit 75 without an early request"),
        Row(53, "5xx for a while, or for ever", "exact, or exit 3"),
        Row(54, "a body that ends early", "the page is read again whole"),
        Row(55, "200 with something else in the body", "exit 3 naming where; a bomb exit 11"),
        Row(56, "200 with an error in the body", "an error, not 0 rows"),
        Row(57, "pages in circles, next links to other hosts", "exit 3 or 11"),
        Row(58, "rows change between pages", "every stable row is there"),
        Row(59, "a filter empties pages", "goes on to the last"),
        Row(60, "a token expires in mid-read; killed while it is renewed", "the new one is durable before use; exact"),
        Row(61, "redirects to where they must not go", "exit 11, and no credential to another host"),
        Row(62, "a slow drip, huge headers", "limits hold"),
        Row(63, "200 streams against one failing host", "a shared budget: bounded requests"),
    ),
    "Cursors, keys, deletes": (
        Row(64, "a million rows with one cursor value, killed inside the tie", "exact, or a clear refusal"),
        Row(65, "rows committed late, behind the cursor", "exact within the lag declared; else the plan said so"),
        Row(
            66, "every cursor type, at full precision", "a second run reads nothing new, the bookmark is the same text"
        ),
        Row(67, "cursor NULL, backwards, in the future, of mixed types", "as the policy says; a warning"),
        Row(68, "both changes of daylight saving, sessions in odd time zones", "nothing lost or doubled"),
        Row(69, "our clock is wrong, or jumps", "no cursor and no lease comes from it"),
        Row(70, "the source was restored from a backup, or recreated", "exit 8, never 0 rows and success"),
        Row(71, "the cursor column is dropped, renamed, retyped", "exit 8 with the command that helps"),
        Row(
            72,
            "deletes, hard and soft, truncation, dropped partitions",
            "as each mode promises; no sweep after half a read",
        ),
        Row(73, "keys that change, are NULL, come twice, are composite", "the last by the source's order"),
        Row(74, "an empty source: really, or by mistake", "empty is committed; an error wipes nothing"),
    ),
    "Values, names, schemas": (
        Row(75, "text of every kind", "exact, or rejected and counted"),
        Row(76, "numbers of every kind", "exact, or rejected and counted"),
        Row(77, "times of every kind", "exact, or rejected and counted"),
        Row(78, "bytes, UUIDs, lists, nested and JSON values", "exact, or rejected and counted"),
        Row(79, "no columns, thousands of columns, a huge row", "loaded, or refused before anything is written"),
        Row(80, "hostile names", "an injective, stable map; the canary table stands"),
        Row(81, "columns that come, go, and change type in mid-read", "as the policy says; no old value changed"),
        Row(82, "odd transcripts of foreign taps", "as their specification says"),
        Row(83, "children that print noise, or never end", "no deadlock"),
        Row(84, "eight streams of 2 MB rows, one of them stalled", "memory under its ceiling; the others finish"),
    ),
    "Security": (
        Row(85, "planted secrets, every error class provoked with --debug", "found nowhere"),
        Row(86, "values that forge log lines", "escaped, one line"),
        Row(87, "hostile YAML and JSON", "refused, within time and memory"),
        Row(88, "hostile templates", "refused"),
        Row(89, "hostile archives", "none outside", "no archives yet"),
        Row(
            90, "plugins that raise, hang, print, exit, pose as others", "the others are listed; exit 10 only if needed"
        ),
        Row(91, "SQL in filters, bookmarks, cursor values", "bound or quoted; the canary stands"),
        Row(92, "another user of the machine reads what we write", "denied"),
        Row(93, "pickle, marshal, eval", "never reached"),
        Row(94, "a hostile environment", "children get a documented list alone"),
    ),
}

ROWS: dict[int, Row] = {row.number: row for rows in GROUPS.values() for row in rows}
