//! `cofferdam json`: what the objects are that `--json` prints.
//! It prints none of them; each command has its own.

use crate::failure::Failure;
use crate::report::print;

/// List the objects that --json prints, with what is in them
#[derive(clap::Args)]
#[command(after_long_help = OBJECTS)]
pub(crate) struct Json;

impl Json {
    pub(crate) fn run(self) -> Result<(), Failure> {
        print(format!("{OBJECTS}\n").as_bytes())
    }
}

/// Every object's name and members, and every kind of error with its exit code.
pub(crate) const OBJECTS: &str = "\
JSON objects, one a line, by their \"event\": sizes in bytes, seconds as numbers, digests and ids
in hexadecimal digits.
  keygen    kind (\"age\", \"key-file\"), recipient, file
  sealed    input, output, format (\"cofferdam\", \"age\"), stream_id, segments, plaintext_len,
            sealed_len, stream_digest, sequence, kept, signature, signed_by, tree, seconds; of
            an age file segments and stream_digest are null; tree, of a directory: files,
            directories, symlinks, hard_links, others, data_len, compressed, changed (those
            gone among them), changed_paths (without those gone; 1,000 at most), gone (zeros
            stand for them), gone_len, gone_paths (1,000 at most), left_out (owner_names,
            by_globs, mounts, sockets, gone, state_directory; null where a sealing resumed)
  restored  input, output, format, stream_id, segments, plaintext_len, stream_digest,
            signed_by, kept, seeded, sequence, metadata, seconds
  planned   plan, plan_id, output, stream_id, stream_digest, parts, plaintext_len, was_there
            (the same was planned before), committed (under this name nothing is done any more)
  part      plan, part, parts, state (\"written\", \"written before\", \"committed\"),
            plaintext_len, seconds
  committed as planned; was_there: it has been put in place before
  plan      plan, output, parts, missing (their numbers), committed, published (has been put in
            place), there (whether anything is at the target now; null of an object), strange:
            `restore --status`
  given_up  as planned; was_there: it has been put in place; outcome (\"removed\", \"in place\",
            \"may have been in place\", \"nothing found\")
  manifest  output, signature, shards, plaintext_len, sequence, signed_by
  shard     name, input, state (\"restored\", \"restored before\", \"verified\", \"missing\",
            \"wrong\"), plaintext_len; of restore also seconds, of verify kind and message of
            what is wrong
  restored-shards, verified-shards
            input, output (of restore), shards, plaintext_len, sequence, signed_by, seconds:
            after the shards
  read      input, path (of a tree), format, stream_id, begin, end, plaintext_len, seconds: a
            range that `cat` has printed
  entry     path, type (\"file\", \"directory\", \"symlink\", \"hard link\", \"character device\",
            \"block device\", \"fifo\"), size, mode (octal), uid, gid, modified (null outside of
            1970 to 9999), modified_seconds, modified_nanos, changed (while it was sealed),
            gone (while it was sealed: zeros; then changed as well), link: of a tree, without
            time and version
  difference
            path, only_in (\"tree\", \"directory\"), what (\"type\", \"content\", \"mode\", \"owner\",
            \"time\", \"link\", \"device\", \"attributes\")
  unread    path, error: a file of the directory that could not be read
  compared  input, directory, paths, differences, unread, seconds: after the differences
  serving   input, stream_id, plaintext_len, url, socket: what clients are told
  warmed    len, seconds: what --warm names has been fetched
  served    input, stream_id, recorded_ranges, recorded_len, seconds
  mounted   input, stream_id, directory, content (\"tree\", \"file\"), entries, data_len
  unmounted input, stream_id, directory, how (\"clean\", \"in use\", \"before\": by somebody else),
            seconds
  listening address
  sender    state (\"joined\", \"left\"), epoch, message
  received  output, plaintext_len, stream_digest (as the sender says), seconds
  verified  input, authenticity (\"checked\", \"signed\", \"pinned\", \"not checked\"), then as
            restored; tree, where its catalog was compared with its headers: files,
            directories, symlinks, hard_links, others, data_len, changed, gone, gone_len
  asserted  input, output, format (\"AGCM\", \"ECIE\", \"MREC\", \"RSE1\"), missing, stream_id,
            plaintext_len, seconds: what nothing proves; of `convert`, sealed_stream_id,
            sealed_len and stream_digest of what was made of it, too
  converted input, output, proved, format, stream_id, segments, plaintext_len, sealed_len,
            stream_digest, sequence, signed_by (who has signed the input), seconds
  signed    input, signature, signed_by, stream_id, digest, stream_digest, sequence, seconds
  drilled   cofferdam_drill, result (\"passed\", \"failed\", \"interrupted\"), exit_code, begun,
            ended, cofferdam_version, format_version, drill_file, streams: the evidence, as
            its file has it
  lost      first_segment, segments, plaintext_offset, plaintext_len, reason: of a damaged
            stream
  surveyed  input, stream_id, segments, plaintext_len, lost_ranges, lost_len, has_whole_index,
            end_is_known: after the lost ranges
  salvaged  as surveyed, output, seconds
  stream    input, stream_id, suite, digest, compression (\"none\", \"zstd\"), frame_len,
            segment_len, sealed_len, metadata_len, key_copies, trailer
  foreign stream
            input, format (\"age\", \"AGCM\", \"ECIE\", \"MREC\", \"RSE1\"), armored, stanzas (of an age
            file), unproved (of the others: what no stream of the format can prove), head_len,
            sealed_len: `inspect`, of another tool's file
  segment   index, position, wire_len, plaintext_offset, plaintext_len, frame_count, digest
  recipients
            input, stream_id, generation, authentic, recipients: each with number, kind
            (\"age\", \"passphrase\", \"key-file\", \"external\", \"unknown\"), recipient, opens,
            post_quantum
  rewrapped file, generation, slots, room_bytes, removed
  status    target, attempt (\"restore\", \"sealing\", \"receiving\", \"published\", \"moving\",
            \"shards\", \"parts\", \"in-the-way\", \"unknown\"), staging, staging_len, durable_len,
            journal, state, stream_id, input_len, plan, shards, parts (directories of plans),
            problems, within (a directory: attempt, staging, staging_len, journal, problems of
            what is in it); staging_len of a directory: bytes that are allocated to the files
            beneath it
  discarded target, removed, parts (directories of plans, which stay)
  upload    key, id, begun, age_seconds, aborted: of a store
  uploads   listed, aborted: after them
  bench     directory, file_system, free, load, file_len, memory_len, threads, parts, files,
            recipes, frame_sizes, thread_counts, busy, advice: see `cofferdam bench --help`
  demo      step, and what it measured
  progress  committed, durable, total, segments, bytes_per_second, eta_seconds
  proving   proved
  replaying written
  resumed   kept, segments
  memory    pressure (\"none\", \"some\", \"high\"): of this machine; fewer buffers are used, or
            more again
  seeding   taken
  seeded    seeded, segments
  left_out  lines: how many came before, and nobody read in time
  retry     what, cause, attempt, wait_seconds: a request that failed and is made again
  warning   message
  error     kind, message, advice, segment, frame, position, kept, exit_code; of `--commit` with
            exit code 19 also missing (numbers of parts) and wrong (those of them that were run, and
            whose files are not what their receipts say)

Kinds of errors, with their exit codes: io, denied and exhausted (1), usage (2), damaged and
digest-mismatch (3), no-key (4), truncated (5), target-exists (6), limit and unsupported (7),
other-journal (8), target-held (9), durability-unknown (10), not-a-stream (11), source-changed
(12), unproven (13), stale (14), no-progress (15), check-failed (16), not-signed (17), different
(18), parts-missing (19), interrupted (129, 130, 143).
Each has its time (\"time\", UTC, RFC 3339), each result the program's version (\"version\").
Metadata is a list of {key, value}; names, paths and metadata that are not UTF-8 are {\"hex\": …}.
Characters that steer a terminal are written as \\uXXXX. A signer is {fingerprint, comment}.
Absent values are null.

Example:
  cofferdam restore --json -i key.txt db.cfd db.img | jq .plaintext_len";
