-- The journal: what must be done, what was done, and which knowledge is the head.  Times are Unix seconds.
-- Each statement may run again: so the tables of a newer schema come into a journal of an older one.
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- One row a revision of a task folder.  A row without a digest is a folder that has not been accepted yet.
CREATE TABLE IF NOT EXISTS tasks (
    id          TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    name        TEXT    NOT NULL,
    state       TEXT    NOT NULL,
    reason      TEXT    NOT NULL DEFAULT '',
    detail      TEXT    NOT NULL DEFAULT '',     -- a failed job's log tail
    problems    TEXT    NOT NULL DEFAULT '[]',   -- JSON of domain.Problem
    fingerprint TEXT    NOT NULL DEFAULT '',     -- of the scan that was judged
    digest      TEXT    NOT NULL DEFAULT '',
    ways        INTEGER NOT NULL DEFAULT 0,
    images      INTEGER NOT NULL DEFAULT 0,
    algorithm   TEXT,
    accuracy    REAL,
    ci_low      REAL,
    ci_high     REAL,
    seconds     REAL,
    version     INTEGER,                         -- the generation that first held it
    updated     REAL    NOT NULL,
    PRIMARY KEY (id, revision)
) STRICT;
CREATE INDEX IF NOT EXISTS tasks_by_digest ON tasks (digest);
CREATE INDEX IF NOT EXISTS tasks_by_state ON tasks (state);
CREATE INDEX IF NOT EXISTS tasks_wrong ON tasks (updated) WHERE state IN ('failed', 'rejected');
CREATE INDEX IF NOT EXISTS tasks_unjudged ON tasks (id) WHERE fingerprint = '';

CREATE TABLE IF NOT EXISTS jobs (
    id          INTEGER PRIMARY KEY,
    task_id     TEXT    NOT NULL,
    revision    INTEGER NOT NULL,
    state       TEXT    NOT NULL,                -- queued | running | done | failed | cancelled
    priority    INTEGER NOT NULL DEFAULT 0,
    spec        TEXT    NOT NULL,                -- JSON: folder, files, options
    epoch       INTEGER NOT NULL DEFAULT 0,      -- fencing token of the newest lease
    worker      TEXT,
    attempts    INTEGER NOT NULL DEFAULT 0,      -- those that counted against it
    not_before  REAL    NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_next ON jobs (state, priority DESC, id);
CREATE INDEX IF NOT EXISTS jobs_by_task ON jobs (task_id, revision);

CREATE TABLE IF NOT EXISTS attempts (
    job_id  INTEGER NOT NULL,
    epoch   INTEGER NOT NULL PRIMARY KEY,
    worker  TEXT    NOT NULL,
    started REAL    NOT NULL,
    ended   REAL,
    outcome TEXT,              -- done | failed | rejected | changed | no_room | broken | died | overran | interrupted
    error   TEXT
) STRICT;

CREATE TABLE IF NOT EXISTS events (
    id      INTEGER PRIMARY KEY,
    at      REAL NOT NULL,
    kind    TEXT NOT NULL,
    task    TEXT,
    message TEXT NOT NULL
) STRICT;

CREATE TABLE IF NOT EXISTS generations (
    number   INTEGER PRIMARY KEY,
    epoch    INTEGER NOT NULL,
    parent   INTEGER NOT NULL,
    created  REAL    NOT NULL,
    manifest TEXT    NOT NULL,                   -- sha256 of its manifest.json
    reason   TEXT    NOT NULL
) STRICT;

-- Who belongs to which version: from first to last, or until now where last is NULL.
CREATE TABLE IF NOT EXISTS members (
    task_id  TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    classes  INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER,
    PRIMARY KEY (task_id, revision, first)
) STRICT;
CREATE INDEX IF NOT EXISTS members_now ON members (last);

CREATE TABLE IF NOT EXISTS workers (name TEXT PRIMARY KEY, state TEXT NOT NULL, hello TEXT) STRICT;

-- Which versions held a task that was forgotten since: a rollback to one of them goes without it.
CREATE TABLE IF NOT EXISTS forgotten (
    task_id TEXT    NOT NULL,
    name    TEXT    NOT NULL,
    first   INTEGER NOT NULL,
    last    INTEGER NOT NULL
) STRICT;

-- How accurately each task was classified at a version, by itself and among everything (surveys.py).
CREATE TABLE IF NOT EXISTS surveys (
    version       INTEGER NOT NULL,
    task_id       TEXT    NOT NULL,
    digest        TEXT    NOT NULL,              -- of the content that was learnt
    name          TEXT    NOT NULL,
    scoped_hits   INTEGER NOT NULL,
    scoped_tries  INTEGER NOT NULL,
    scoped_on     TEXT,                          -- query | cross-validation
    unified_hits  INTEGER NOT NULL,
    unified_tries INTEGER NOT NULL,
    unified_on    TEXT,                          -- query | leave-one-out
    told          TEXT    NOT NULL,              -- 1 or 0 for each image; kept of the newest survey of each task alone
    flips         INTEGER NOT NULL,
    compared      INTEGER NOT NULL,
    PRIMARY KEY (version, task_id)
) STRICT;
CREATE INDEX IF NOT EXISTS surveys_by_task ON surveys (task_id, digest, version);

-- The archives of kept images (archives.py).  sizes: JSON, of each class the bytes that each image took when it was
-- committed, by order of sha256.  kept: how many of each class, the first, are kept at most; NULL: all are.  counted: how
-- many the budget reckons with, as the others were gone when last the number rose that may be kept; NULL: all.
CREATE TABLE IF NOT EXISTS archives (
    task_id  TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    name     TEXT    NOT NULL,                   -- of the file
    sizes    TEXT    NOT NULL,
    kept     INTEGER,
    counted  INTEGER,
    PRIMARY KEY (task_id, revision, name)
) STRICT;

-- How the algorithms did on each revision that was learnt (leaderboard.py).  rank: among those that were measured.
CREATE TABLE IF NOT EXISTS candidates (
    task_id   TEXT    NOT NULL,
    revision  INTEGER NOT NULL,
    algorithm TEXT    NOT NULL,
    bid       REAL    NOT NULL,
    won       INTEGER NOT NULL,
    rank      REAL,
    seconds   REAL,
    PRIMARY KEY (task_id, revision, algorithm)
) STRICT;

-- Which tasks are near to one another, and which of their classes seem to be one, as the newest survey of each found.
CREATE TABLE IF NOT EXISTS nearest (
    task_id  TEXT NOT NULL,
    other_id TEXT NOT NULL,
    distance REAL NOT NULL,
    PRIMARY KEY (task_id, other_id)
) STRICT;
CREATE TABLE IF NOT EXISTS twins (
    task_id     TEXT NOT NULL,
    class       TEXT NOT NULL,
    other_id    TEXT NOT NULL,
    other_class TEXT NOT NULL,
    ratio       REAL NOT NULL,
    PRIMARY KEY (task_id, class)
) STRICT;

-- Which classes are answered as another (joins.py).  Of a task.yaml: revision, that says so.  As asked for by a person:
-- from version first to last, or until now where last is NULL.
CREATE TABLE IF NOT EXISTS joins (
    task_id  TEXT    NOT NULL,
    class    TEXT    NOT NULL,
    to_task  TEXT    NOT NULL,                   -- by name: it need not be known yet
    to_class TEXT    NOT NULL,
    revision INTEGER,
    first    INTEGER,
    last     INTEGER
) STRICT;
CREATE INDEX IF NOT EXISTS joins_by_task ON joins (task_id);

-- What a command asks of the daemon that runs.
CREATE TABLE IF NOT EXISTS requests (
    id       INTEGER PRIMARY KEY,
    kind     TEXT    NOT NULL,                   -- rollback | forget | alias | part | consolidate
    argument TEXT    NOT NULL,
    answer   TEXT                                -- JSON; NULL until it is carried out
) STRICT;

-- The networks that kept versions need.  learners: JSON list of the ids of the tasks whose images trained it.
CREATE TABLE IF NOT EXISTS backbones (
    hash     TEXT PRIMARY KEY,
    sha256   TEXT NOT NULL,                      -- of its file
    learners TEXT NOT NULL DEFAULT '[]',
    tainted  INTEGER NOT NULL DEFAULT 0          -- 1: a task that trained it is forgotten; its file is gone
) STRICT;

-- Which network a version has: that of the newest row that is not newer than it.
CREATE TABLE IF NOT EXISTS foundations (first INTEGER PRIMARY KEY, hash TEXT NOT NULL) STRICT;

-- Revisions that a consolidation refitted from what is kept: source is the revision that was learnt.
CREATE TABLE IF NOT EXISTS derived (
    task_id  TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    source   INTEGER NOT NULL,
    PRIMARY KEY (task_id, revision)
) STRICT;

-- Every verdict on a candidate network, refused ones too.
CREATE TABLE IF NOT EXISTS decisions (
    id       INTEGER PRIMARY KEY,
    at       REAL    NOT NULL,
    parent   INTEGER NOT NULL,                   -- the head that it would have followed
    version  INTEGER,                            -- what it became; NULL: refused
    before   TEXT    NOT NULL,                   -- the hash of the network that was there
    after    TEXT    NOT NULL,                   -- and that of the candidate
    verdict  TEXT    NOT NULL                    -- JSON of judgement.Verdict
) STRICT;
