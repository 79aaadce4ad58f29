//! The long help of `cofferdam restore`.
//! It knows no option but by its name.

pub(super) const EXPECT_DIGEST: &str = "\
The stream digest that it must have: 64 hexadecimal digits, as `seal` prints it

Another stream is refused: an older one, or one that somebody else has made for the same recipients. From a file that \
is found out before anything is written. From a pipe it is found out at the end, and of a restore to standard output \
or a FIFO segments have gone out by then. A URL whose server gives its bytes only in order is refused where the target shows them at \
once: standard output, a FIFO, a receiver. A stream with the digest `tags` cannot be pinned.";

pub(super) const AFTER_HELP: &str = "\
Examples:
  cofferdam restore -i key.txt db.cfd db.img
  cofferdam restore -p --force db.cfd db.img              ask for the passphrase, replace db.img
  cofferdam restore -i key.txt s3://backups/db.cfd db.img out of a store
  cofferdam restore -i key.txt etc.cfd /srv/etc           a directory that was sealed
  cofferdam restore -i key.txt etc.cfd ssh --path /ssh    some paths; only those are read
  cofferdam restore -i key.txt srv.cfd - | tar x          verified segments, one after another
  ssh store cat srv.cfd | cofferdam restore -i key.txt - srv.tar
  cofferdam restore -i key.txt --expect-digest 3f… db.cfd db.img
                                                          the very stream that was sealed
  cofferdam restore -i key.txt --signed-by sealers.pub db.cfd db.img
                                                          one that they have signed (db.cfd.sig)
  cofferdam restore -i key.txt --force --seed db.img new.cfd db.img
                                                          fetch what has changed since db.img
  cofferdam restore -i key.txt --force --wal /var/tmp/sdb.wal db.cfd /dev/sdb
                                                          over a block device, through a log
  cofferdam restore -i key.txt --salvage db.cfd db.img.salvaged
                                                          what is whole of a damaged stream
  cofferdam restore -i key.txt --plan p --parts 8 db.cfd db.img
                                                          by many machines: plan; on any of them
  cofferdam restore -i key.txt --plan p --part 3          one part of it; and at the end
  cofferdam restore --plan p --commit                     the target, all or nothing
  cofferdam restore -i key.txt --manifest --signed-by sealers.pub may.manifest dir
                                                          all shards of a snapshot

Exit codes: 0 done, 1 reading or writing failed, 2 usage, 3 damaged, tampered with, or of another digest, 4 no key opens it, \
5 truncated, 6 the target exists, 7 a limit is exceeded or a feature is not supported, 8 what is kept beside the \
target, or in the log, is of another stream, device or user, 9 another process writes the target, or a device is in use, 10 in place but its durability is unknown, or a device is not written to the end, \
11 the input is no Cofferdam stream, 12 the sealed stream changed while it was read, 13 in place, and nothing proves that it is whole, \
14 the stream is older than --min-sequence asks for, 15 nothing has come from the store for too long, 17 not signed by anybody of --signed-by, 19 parts of the plan are missing, 130 interrupted: the target is as it was, unless it is a device that was being written.";
