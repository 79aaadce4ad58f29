//! The command line: its commands, the options they share, and its help.
//! It knows words and numbers only; what they do is the commands'.

use clap::{Parser, Subcommand};

#[cfg(feature = "foreign")]
use crate::commands::convert::Convert;
#[cfg(feature = "signatures")]
use crate::commands::manifest::Manifest;
#[cfg(feature = "mount")]
use crate::commands::mount::Mount;
#[cfg(feature = "serve")]
use crate::commands::serve::Serve;
#[cfg(feature = "signatures")]
use crate::commands::sign::Sign;
#[cfg(feature = "remote")]
use crate::commands::uploads::Uploads;
use crate::commands::{
    bench::Bench, cat::Cat, completions::Completions, diff::Diff, discard::Discard, drill::Drill,
    inspect::Inspect, keygen::Keygen, ls::Ls, man::Man, receive::Receive, recipients::Recipients,
    restore::Restore, rewrap::Rewrap, seal::Seal, status::Status, verify::Verify,
};
use crate::demo::Demo;
use crate::report::Report;

/// Seal snapshots into encrypted streams, and restore them all or nothing
///
/// Cofferdam seals a byte stream into a file of independently encrypted segments, on all cores, and restores it: the
/// target changes once, after the last byte has proved right, or not at all.
#[derive(Parser)]
#[command(name = "cofferdam", version, max_term_width = 100, after_long_help = AFTER_HELP)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,

    /// Say nothing but errors: no progress, no warnings, no summary
    ///
    /// What was asked for itself (`inspect`, `keygen`, a result with --json) is printed all the same.
    #[arg(long, short, global = true, help_heading = "Output")]
    quiet: bool,

    /// Print JSON, one object a line: the result to stdout; progress, warnings and errors to stderr
    ///
    /// Where the plaintext or the sealed stream goes to stdout, the result goes to stderr too. `cofferdam --help` lists
    /// the objects.
    #[arg(long, global = true, help_heading = "Output")]
    json: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    Keygen(Keygen),
    Seal(Seal),
    Restore(Restore),
    Cat(Cat),
    Ls(Ls),
    Diff(Diff),
    #[cfg(feature = "serve")]
    Serve(Serve),
    #[cfg(feature = "mount")]
    Mount(Mount),
    #[cfg(feature = "foreign")]
    Convert(Convert),
    Receive(Receive),
    Verify(Verify),
    #[cfg(feature = "signatures")]
    Sign(Sign),
    #[cfg(feature = "signatures")]
    Manifest(Manifest),
    Drill(Drill),
    Inspect(Inspect),
    Recipients(Recipients),
    Rewrap(Rewrap),
    Status(Status),
    Discard(Discard),
    #[cfg(feature = "remote")]
    Uploads(Uploads),
    Bench(Bench),
    Demo(Demo),
    Completions(Completions),
    Man(Man),
}

impl Arguments {
    /// Where and how this run speaks.
    pub(crate) fn report(&self) -> Report {
        Report::new(self.json, self.quiet)
    }
}

pub(crate) const AFTER_HELP: &str = "\
Examples:
  cofferdam keygen -o key.txt                        make an identity, print its recipient
  cofferdam seal -r age1… -o db.cfd db.img           seal a file for that recipient
  cofferdam restore -i key.txt db.cfd db.img         restore it, all or nothing
  cofferdam cat -i key.txt --range -4KiB db.cfd      print a part of it
  cofferdam serve -i key.txt db.cfd                  let programs read it without restoring it
  cofferdam mount -i key.txt srv.cfd /mnt/srv        look at its files without restoring them
  cofferdam verify db.cfd                            check it without any key
  cofferdam sign --ssh-key id_ed25519 db.cfd         say that it is yours: db.cfd.sig
  cofferdam convert -i key.txt -r age1… db.age db.cfd  seal anew what another tool has sealed
  cofferdam drill drill.toml                         restore, check, and write evidence
  cofferdam restore -i key.txt s3://b/db.cfd db.img  restore out of a store
  cofferdam seal -r age1… -o srv.cfd /srv            seal a directory
  cofferdam ls -i key.txt srv.cfd                    what is in it
  cofferdam cat -i key.txt srv.cfd etc/fstab         one file of it
  cofferdam diff -i key.txt srv.cfd /srv             is it still the same?
  pg_dump app | cofferdam seal -r age1… -o app.cfd - seal a pipe

Standard input and output are - wherever a file is named, for keys too; /dev/fd/N is a descriptor, a pipe for instance. \
Standard input is read for one purpose.

Environment, each the name of a file; looked at only where no option says what opens the stream, or who can open it:
  COFFERDAM_IDENTITY         as -i of restore, cat, serve, mount, verify, sign, recipients,
                             rewrap and convert
  COFFERDAM_RECIPIENTS       as -R of seal, rewrap and convert
  COFFERDAM_PASSPHRASE_FILE  as --passphrase-file of seal, restore, cat, serve, mount, verify, sign,
                             recipients, rewrap and convert
  COFFERDAM_PLAN_KEY         as --plan-key of restore

A sealed stream to read may be a URL: s3://BUCKET/KEY, gs://BUCKET/KEY, az://CONTAINER/KEY, http://…, https://…; a file of such a name \
is ./s3:…. Credentials and endpoints come from the environment, under the names that the stores' own tools use (AWS_…, GOOGLE_…, AZURE_…).

Exit codes:
    0  done
    1  reading, writing or the machine failed
    2  usage
    3  the sealed stream is damaged or was tampered with, or is not the one of --expect-digest
    4  none of the keys given opens the stream
    5  the sealed stream is truncated
    6  the target exists
    7  a limit is exceeded, or the stream's version or a feature is not supported
    8  what is kept beside the target, or the log of --wal, belongs to another stream or target, or is damaged
    9  another process is writing the target, or the device is in use
   10  the target is in place, but may not survive a power cut; or a device was not written to the end
   11  the input is no Cofferdam stream
   12  the source changed while it was read
   13  opened and put in place, and nothing proves that it is whole: see --accept-unproven
   14  the stream is older than --min-sequence asks for, or has no sequence number
   15  nothing has come from the store or server for too long: run the same command again
   16  a drill has restored the stream, and the check of it failed
   17  nobody whom --signed-by names has signed the stream
   18  `diff` has found that the directory is not what the tree holds
   19  parts of a plan are missing: run them, then commit again; or shards of a manifest
  129  stopped by SIGHUP
  130  stopped by SIGINT, which is Ctrl-C
  143  stopped by SIGTERM
After 129, 130 and 143 the target is as it was, unless it is a device that was being written. What a restore, or a seal with --resume, has until then is kept \
beside it: the same command goes on from there, `--restart` begins anew. A second signal ends the program at once, and loses no more.

JSON objects, by their \"event\" (sizes in bytes, seconds as numbers, digests and ids in hexadecimal):
  keygen    kind (\"age\", \"key-file\"), recipient, file
  sealed    input, output, format (\"cofferdam\", \"age\"), stream_id, segments, plaintext_len, sealed_len,
            stream_digest, sequence, kept, signature, signed_by, tree, seconds; of an age file segments and
            stream_digest are null; tree, of a directory: files, directories, symlinks, hard_links, others, data_len,
            compressed, changed (those gone among them), changed_paths (without those gone; 1,000 at most), gone (zeros stand
            for them), gone_len, gone_paths (1,000 at most), left_out (owner_names, by_globs, mounts, sockets, gone,
            state_directory; null where a sealing resumed)
  restored  input, output, format, stream_id, segments, plaintext_len, stream_digest, signed_by, kept, seeded,
            sequence, metadata, seconds
  planned   plan, plan_id, output, stream_id, stream_digest, parts, plaintext_len, was_there (the same was planned before)
  part      plan, part, parts, state (\"written\", \"written before\", \"committed\"), plaintext_len, seconds
  committed as planned; was_there: it has been put in place before
  plan      plan, output, parts, missing (their numbers), committed, published (in place, and not noted), strange: `restore --status`
  given_up  as planned; was_there: it has been put in place; outcome (\"removed\", \"in place\", \"may have been in place\",
            \"nothing found\")
  manifest  output, signature, shards, plaintext_len, sequence, signed_by
  shard     name, input, state (\"restored\", \"restored before\", \"verified\", \"missing\", \"wrong\"), plaintext_len; of
            restore also seconds, of verify kind and message of what is wrong
  restored-shards, verified-shards
            input, output (of restore), shards, plaintext_len, sequence, signed_by, seconds: after the shards
  read      input, path (of a tree), format, stream_id, begin, end, plaintext_len, seconds: a range that `cat` has printed
  entry     path, type (\"file\", \"directory\", \"symlink\", \"hard link\", \"character device\", \"block device\", \"fifo\"), size,
            mode (octal), uid, gid, modified (null outside of 1970 to 9999), modified_seconds, modified_nanos, changed
            (while it was sealed), gone (while it was sealed: zeros; then changed as well), link: of a tree, without time and version
  difference
            path, only_in (\"tree\", \"directory\"), what (\"type\", \"content\", \"mode\", \"owner\", \"time\", \"link\",
            \"device\", \"attributes\")
  unread    path, error: a file of the directory that could not be read
  compared  input, directory, paths, differences, unread, seconds: after the differences
  serving   input, stream_id, plaintext_len, url, socket: what clients are told
  warmed    len, seconds: what --warm names has been fetched
  served    input, stream_id, recorded_ranges, recorded_len, seconds
  mounted   input, stream_id, directory, content (\"tree\", \"file\"), entries, data_len
  unmounted input, stream_id, directory, how (\"clean\", \"in use\", \"before\": by somebody else), seconds
  listening address
  sender    state (\"joined\", \"left\"), epoch, message
  received  output, plaintext_len, stream_digest (as the sender says), seconds
  verified  input, authenticity (\"checked\", \"signed\", \"pinned\", \"not checked\"), then as restored; tree, where its catalog
            was compared with its headers: files, directories, symlinks, hard_links, others, data_len, changed,
            gone, gone_len
  asserted  input, output, format (\"AGCM\", \"ECIE\", \"MREC\", \"RSE1\"), missing, stream_id, plaintext_len, seconds: what nothing proves;
            of `convert`, sealed_stream_id, sealed_len and stream_digest of what was made of it, too
  converted input, output, proved, format, stream_id, segments, plaintext_len, sealed_len, stream_digest, sequence,
            signed_by (who has signed the input), seconds
  signed    input, signature, signed_by, stream_id, digest, stream_digest, sequence, seconds
  drilled   cofferdam_drill, result (\"passed\", \"failed\", \"interrupted\"), exit_code, begun, ended, cofferdam_version,
            format_version, drill_file, streams: the evidence, as its file has it
  lost      first_segment, segments, plaintext_offset, plaintext_len, reason: of a damaged stream
  surveyed  input, stream_id, segments, plaintext_len, lost_ranges, lost_len, has_whole_index, end_is_known: after
            the lost ranges
  salvaged  as surveyed, output, seconds
  stream    input, stream_id, suite, digest, compression (\"none\", \"zstd\"), frame_len, segment_len, sealed_len,
            metadata_len, key_copies, trailer
  foreign stream   input, format (\"age\", \"AGCM\", \"ECIE\", \"MREC\", \"RSE1\"), armored, stanzas (of an age file), unproved (of the
            others: what no stream of the format can prove), head_len, sealed_len: `inspect`, of another tool's file
  segment   index, position, wire_len, plaintext_offset, plaintext_len, frame_count, digest
  recipients
            input, stream_id, generation, authentic, recipients: each with number, kind (\"age\", \"passphrase\",
            \"key-file\", \"external\", \"unknown\"), recipient, opens, post_quantum
  rewrapped file, generation, slots, room_bytes, removed
  status    target, attempt (\"restore\", \"sealing\", \"receiving\", \"published\", \"moving\", \"shards\", \"parts\",
            \"in-the-way\", \"unknown\"), staging, staging_len, durable_len, journal, state, stream_id, input_len,
            plan, shards, parts (directories of plans), problems, within (a directory: attempt, staging, staging_len, journal, problems of what is in it);
            staging_len of a directory: bytes that are allocated to the files beneath it
  discarded target, removed, parts (directories of plans, which stay)
  upload    key, id, begun, age_seconds, aborted: of a store
  uploads   listed, aborted: after them
  bench     directory, file_system, free, load, file_len, memory_len, threads, parts, files, recipes, frame_sizes,
            thread_counts, busy, advice: see `cofferdam bench --help`
  demo      step, and what it measured
  progress  committed, durable, total, segments, bytes_per_second, eta_seconds
  proving   proved
  replaying written
  resumed   kept, segments
  memory    pressure (\"none\", \"some\", \"high\"): of this machine; fewer buffers are used, or more again
  seeding   taken
  seeded    seeded, segments
  left_out  lines: how many came before, and nobody read in time
  retry     what, cause, attempt, wait_seconds: a request that failed and is made again
  warning   message
  error     kind, message, advice, segment, frame, position, kept, exit_code
Kinds of errors, with their exit codes: io, denied and exhausted (1), usage (2), damaged and digest-mismatch (3), no-key (4), \
truncated (5), target-exists (6), limit and unsupported (7), other-journal (8), target-held (9), durability-unknown (10), \
not-a-stream (11), source-changed (12), unproven (13), stale (14), no-progress (15), check-failed (16), not-signed (17), different (18), parts-missing (19), interrupted (129, 130, 143).
Each has its time (\"time\", UTC, RFC 3339), each result the program's version (\"version\").
Metadata is a list of {key, value}; names, paths and metadata that are not UTF-8 are {\"hex\": …}. \
Characters that steer a terminal are written as \\uXXXX. \
A signer is {fingerprint, comment}. Absent values are null.";
