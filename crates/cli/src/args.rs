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
    inspect::Inspect, json::Json, keygen::Keygen, ls::Ls, man::Man, receive::Receive, recipients::Recipients,
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
    /// Where the plaintext or the sealed stream goes to stdout, the result goes to stderr too. `cofferdam help json` lists
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
    Json(Json),
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
  cofferdam restore -i key.txt --signed-by sealers.pub db.cfd db.img
                                                     only what one of these SSH keys has signed
  cofferdam restore -i key.txt s3://b/db.cfd db.img  restore out of a store
  cofferdam restore -i key.txt --plan p --parts 8 db.cfd db.img
                                                     by many machines: see `cofferdam help restore`
  cofferdam manifest --ssh-key id_ed25519 -o may.manifest shard-*.cfd
                                                     say which streams are one snapshot
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
    8  what is kept beside the target, in the log of --wal, or of a plan, belongs to something else,
       or is damaged
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
   19  parts of a plan are missing (`restore --commit`), or shards of a manifest (`verify --manifest`)
  129  stopped by SIGHUP
  130  stopped by SIGINT, which is Ctrl-C
  143  stopped by SIGTERM
After 129, 130 and 143 the target is as it was, unless it is a device that was being written. What a restore, or a seal with --resume, has until then is kept \
beside it: the same command goes on from there, `--restart` begins anew. A second signal ends the program at once, and loses no more.

What --json prints: `cofferdam help json`.";
