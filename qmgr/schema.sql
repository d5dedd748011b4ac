-- SPDX-License-Identifier: ISC
--
-- queue.db: what the log cannot hold. Times are milliseconds since 1970 (wall clock) unless the name says otherwise.
-- 64-bit random and id values are stored as signed integers of the same bits. PRAGMA user_version = 1: a program that
-- does not know the version refuses to start and leaves the spool as it is.
--
-- Invariant I1: a recipient is live if and only if it has a row in rcpt, or its record lies after the cursor and it has
-- no mark. A row for a record after the cursor is written together with its mark. A message with a bounce row stays.

-- Where the scan of the log begins. One row.
CREATE TABLE cursor (
	id              INTEGER PRIMARY KEY CHECK (id = 1),
	number          INTEGER NOT NULL,       -- message number: all below it are known by their rows alone
	segment         INTEGER NOT NULL,       -- segment of the first record at or above it; 0: none was written yet
	salt            INTEGER NOT NULL,       -- of that segment
	offset          INTEGER NOT NULL,       -- where to begin in it
	next_number     INTEGER NOT NULL,       -- floor of new message numbers
	next_batch      INTEGER NOT NULL,       -- floor of new batch numbers
	made_ms         INTEGER NOT NULL
);

-- Segments that are in use. A segment without row is empty, or holds records after the cursor only.
CREATE TABLE segment (
	number          INTEGER PRIMARY KEY,    -- of the file <number>.seg
	salt            INTEGER NOT NULL,       -- in case its header is damaged
	kind            INTEGER NOT NULL,       -- enum segment_kind
	is_retiring     INTEGER NOT NULL DEFAULT 0, -- 1: nothing in it is live, its header is being replaced
	live_messages   INTEGER NOT NULL DEFAULT 0, -- rows of message that lead here
	live_bytes      INTEGER NOT NULL DEFAULT 0  -- of their records
);

-- Recipients of records at or after the cursor that are finished or have a row.
CREATE TABLE mark (
	number          INTEGER NOT NULL,       -- message number
	idx             INTEGER NOT NULL,       -- index of the recipient in the envelope
	PRIMARY KEY (number, idx)
) WITHOUT ROWID;

-- Messages that have a row in rcpt or bounce.
CREATE TABLE message (
	number          INTEGER PRIMARY KEY,    -- message number, ascends in order of arrival
	qid             INTEGER NOT NULL,       -- queue id
	segment         INTEGER NOT NULL,       -- place of the record: segment,
	salt            INTEGER NOT NULL,       -- the salt that it must have there,
	offset          INTEGER NOT NULL,       -- bytes from the start of the segment,
	length          INTEGER NOT NULL,       -- bytes of the record without padding
	flags           INTEGER NOT NULL,       -- enum record_flag; RECORD_BIG: content is the file <qid>.big
	content_flags   INTEGER NOT NULL,       -- enum record_content
	size            INTEGER NOT NULL,       -- bytes of trace and content
	arrival_ms      INTEGER NOT NULL,
	sender          TEXT NOT NULL,          -- reverse-path, '' = null sender
	uid             INTEGER NOT NULL,       -- local user who submitted it, 4294967295: none
	rcpt_count      INTEGER NOT NULL,       -- recipients in the envelope
	next_index      INTEGER NOT NULL,       -- index of the next child of an expansion
	live_rows       INTEGER NOT NULL DEFAULT 0, -- rows of rcpt that are not finished
	bounces         INTEGER NOT NULL DEFAULT 0, -- rows of bounce
	part            INTEGER NOT NULL DEFAULT 0  -- reports made so far; part of their dedupe key
);
-- "Is this queue id known?" and orders of the administrator by queue id.
CREATE INDEX message_qid ON message (qid);
-- What compaction has to move out of a segment.
CREATE INDEX message_segment ON message (segment);

-- Recipients that are deferred, held, given out of memory, or children of an expansion.
CREATE TABLE rcpt (
	number          INTEGER NOT NULL,       -- message number
	idx             INTEGER NOT NULL,       -- index of the recipient; children above those of the envelope
	state           INTEGER NOT NULL,       -- enum row_state
	flags           INTEGER NOT NULL,       -- enum row_flag without ROW_IN_MEMORY
	lane            INTEGER NOT NULL,       -- row of lane
	due_ms          INTEGER NOT NULL,       -- not tried before
	born_ms         INTEGER NOT NULL,       -- arrival of the message, for expiry
	is_null_sender  INTEGER NOT NULL,       -- 1: the message has the null sender (another lifetime)
	attempts        INTEGER NOT NULL,
	last_ms         INTEGER NOT NULL,       -- last attempt, 0: none
	reply           INTEGER NOT NULL,       -- SMTP reply code of the last attempt, 0: none
	esc             TEXT NOT NULL,          -- enhanced status code of it
	reply_text      TEXT NOT NULL,          -- its text
	relay           TEXT NOT NULL,          -- host that gave it
	address         TEXT NOT NULL,          -- forward-path
	orcpt           TEXT NOT NULL,          -- RFC 3461 4.2
	orig            TEXT NOT NULL,          -- address before aliases
	notify          INTEGER NOT NULL,       -- ENV_NOTIFY_*
	parent          INTEGER NOT NULL,       -- child: index of the recipient that it comes from
	depth           INTEGER NOT NULL,       -- child: expansions above it; 0: a recipient of the envelope
	sender          TEXT,                   -- child: its own reverse-path; NULL: that of the message
	PRIMARY KEY (number, idx)
) WITHOUT ROWID;
-- The next rows of a lane.
CREATE INDEX rcpt_due ON rcpt (lane, due_ms) WHERE state = 0;
-- Rows of a lane past their lifetime, for the sweep after a failed connection.
CREATE INDEX rcpt_born ON rcpt (lane, is_null_sender, born_ms) WHERE state = 0;
-- Whether a lane still has a row that is not ready.
CREATE INDEX rcpt_other ON rcpt (lane) WHERE state <> 0;

-- Sets of recipients that share a next hop.
CREATE TABLE lane (
	id              INTEGER PRIMARY KEY,
	name            TEXT NOT NULL UNIQUE,   -- chosen by scheduling
	is_active       INTEGER NOT NULL DEFAULT 0, -- 1: is a structure in memory; next_due_ms is made anew at start
	next_due_ms     INTEGER,                -- earliest row, not before the end of the suspension; NULL: no row
	not_before_ms   INTEGER NOT NULL DEFAULT 0, -- suspended until then
	failures        INTEGER NOT NULL DEFAULT 0, -- failed connections in a row
	reply           INTEGER NOT NULL DEFAULT 0, -- of the last failure
	esc             TEXT NOT NULL DEFAULT '',
	reply_text      TEXT NOT NULL DEFAULT ''
);
-- Lanes that have something to do.
CREATE INDEX lane_due ON lane (next_due_ms) WHERE is_active = 0 AND next_due_ms IS NOT NULL;
-- Those to be mended at start.
CREATE INDEX lane_active ON lane (is_active) WHERE is_active = 1;

-- What is to be reported to senders; one report takes all rows of a message.
CREATE TABLE bounce (
	id              INTEGER PRIMARY KEY AUTOINCREMENT,
	number          INTEGER NOT NULL,       -- message number
	idx             INTEGER NOT NULL,       -- index of the recipient
	kind            INTEGER NOT NULL,       -- enum bounce_kind
	made_ms         INTEGER NOT NULL,
	at_ms           INTEGER NOT NULL,       -- last attempt
	until_ms        INTEGER NOT NULL,       -- delayed: tried until then
	reply           INTEGER NOT NULL,
	esc             TEXT NOT NULL,
	reply_text      TEXT NOT NULL,
	relay           TEXT NOT NULL,
	address         TEXT NOT NULL,
	orcpt           TEXT NOT NULL,
	orig            TEXT NOT NULL
);
CREATE INDEX bounce_number ON bounce (number);

-- Keys of messages that must be taken once. A record is a duplicate if its key's row names another message number.
CREATE TABLE dedupe (
	id              INTEGER PRIMARY KEY AUTOINCREMENT, -- order of age, for the bound
	origin          INTEGER NOT NULL,       -- enum record_origin
	name            TEXT NOT NULL,          -- intake or user id
	key             BLOB NOT NULL,
	number          INTEGER NOT NULL,       -- message number
	made_ms         INTEGER NOT NULL,
	UNIQUE (origin, name, key)
);
CREATE INDEX dedupe_made ON dedupe (made_ms);

-- Highest queue id of each process slot, in microseconds since 2020, as of the last checkpoint.
CREATE TABLE slot (
	slot            INTEGER PRIMARY KEY,
	floor_us        INTEGER NOT NULL
);

-- Sums over the tables above, changed in the same transactions. One row.
CREATE TABLE total (
	id              INTEGER PRIMARY KEY CHECK (id = 1),
	messages        INTEGER NOT NULL,       -- rows of message
	bytes           INTEGER NOT NULL,       -- sum of message.size
	ready           INTEGER NOT NULL,       -- rows of rcpt by state
	held            INTEGER NOT NULL,
	corrupt         INTEGER NOT NULL,
	unknown         INTEGER NOT NULL,
	done            INTEGER NOT NULL,
	deferred        INTEGER NOT NULL,       -- ready and tried at least once
	bounces         INTEGER NOT NULL        -- rows of bounce
);
INSERT INTO cursor VALUES (1, 1, 0, 0, 0, 1, 1, 0);
INSERT INTO total VALUES (1, 0, 0, 0, 0, 0, 0, 0, 0, 0);
