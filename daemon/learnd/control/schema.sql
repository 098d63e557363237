-- The journal: what must be done, what was done, and which knowledge is the head.  Times are Unix seconds.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

-- One row a revision of a task folder.  A row without a digest is a folder that has not been accepted yet.
CREATE TABLE tasks (
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
CREATE INDEX tasks_by_digest ON tasks (digest);
CREATE INDEX tasks_by_state ON tasks (state);
CREATE INDEX tasks_unjudged ON tasks (id) WHERE fingerprint = '';

CREATE TABLE jobs (
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
CREATE INDEX jobs_next ON jobs (state, priority DESC, id);
CREATE INDEX jobs_by_task ON jobs (task_id, revision);

CREATE TABLE attempts (
    job_id  INTEGER NOT NULL,
    epoch   INTEGER NOT NULL PRIMARY KEY,
    worker  TEXT    NOT NULL,
    started REAL    NOT NULL,
    ended   REAL,
    outcome TEXT,              -- done | failed | rejected | changed | no_room | broken | died | overran | interrupted
    error   TEXT
) STRICT;

CREATE TABLE events (
    id      INTEGER PRIMARY KEY,
    at      REAL NOT NULL,
    kind    TEXT NOT NULL,
    task    TEXT,
    message TEXT NOT NULL
) STRICT;

CREATE TABLE generations (
    number   INTEGER PRIMARY KEY,
    epoch    INTEGER NOT NULL,
    parent   INTEGER NOT NULL,
    created  REAL    NOT NULL,
    manifest TEXT    NOT NULL,                   -- sha256 of its manifest.json
    reason   TEXT    NOT NULL
) STRICT;

-- Who belongs to which version: from first to last, or until now where last is NULL.
CREATE TABLE members (
    task_id  TEXT    NOT NULL,
    revision INTEGER NOT NULL,
    name     TEXT    NOT NULL,
    classes  INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER,
    PRIMARY KEY (task_id, revision, first)
) STRICT;
CREATE INDEX members_now ON members (last);

CREATE TABLE workers (name TEXT PRIMARY KEY, state TEXT NOT NULL, hello TEXT) STRICT;
