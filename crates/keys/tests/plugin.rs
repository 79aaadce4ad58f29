//! Drives age plugins: two shell scripts stand for them.
//! Runs itself again with the scripts' directory on the `PATH`, since a process cannot safely change its own.

#![cfg(feature = "age")]
#![allow(clippy::unwrap_used, reason = "the functions that tests share may unwrap as they do")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use keys::{Identities, Identity, Recipients, StreamKey, UnwrapError};

#[test]
fn plugins_wrap_and_open_and_a_dead_one_hides_nobody() {
    if std::env::var_os(INSIDE).is_some() {
        wrap_and_open_through_plugins();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    write_script(&directory.path().join("age-plugin-clear"), CLEAR);
    write_script(&directory.path().join("age-plugin-dead"), "#!/bin/sh\nexit 1\n");
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "plugins_wrap_and_open_and_a_dead_one_hides_nobody", "--nocapture"])
        .env(INSIDE, "1")
        .env("PATH", format!("{}:/usr/bin:/bin", directory.path().display()))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_plugin_that_is_not_installed_is_named() {
    let Err(error) = Identities::new().identity_file(plugin_identity("not-installed")) else {
        panic!("there is no age-plugin-not-installed")
    };
    assert!(error.to_string().contains("age-plugin-not-installed"), "{error}");
}

fn wrap_and_open_through_plugins() {
    let slots = Recipients::new()
        .parse(CLEAR_RECIPIENT)
        .unwrap()
        .parse(&Identity::generate().recipient())
        .unwrap()
        .wrap(&StreamKey::from_bytes(KEY), &HEAD)
        .unwrap();
    let open =
        |identities: Identities| identities.unwrap(&slots, &HEAD, &mut |_| true).map(|key| *key.expose());

    let clear = Identities::new().identity_file(plugin_identity("clear")).unwrap();
    assert_eq!(open(clear).unwrap(), KEY);

    let dead = Identities::new().identity_file(plugin_identity("dead")).unwrap();
    let error = open(dead).unwrap_err();
    assert!(matches!(&error, UnwrapError::NoKey { notes, .. } if notes.len() == 1), "{error}");

    let behind = [plugin_identity("dead"), plugin_identity("clear")].join("\n");
    assert_eq!(open(Identities::new().identity_file(behind).unwrap()).unwrap(), KEY);
}

fn plugin_identity(name: &str) -> String {
    age::plugin::Identity::default_for_plugin(name).unwrap().to_string()
}

fn write_script(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// A plugin that hides nothing: the body of its stanza is the file key itself.
const CLEAR: &str = "#!/bin/sh
while read -r line; do
  case \"$line\" in
    '-> wrap-file-key'|'-> recipient-stanza 0 clear') read -r key ;;
    '-> done') read -r empty; break ;;
  esac
done
case \"$1\" in
  --age-plugin=recipient-v1) printf -- '-> recipient-stanza 0 clear\\n%s\\n' \"$key\" ;;
  --age-plugin=identity-v1) printf -- '-> file-key 0\\n%s\\n' \"$key\" ;;
esac
read -r answer
read -r empty
printf -- '-> done\\n\\n'
";
/// Bech32 (BIP 173) of the human-readable part `age1clear` and no data.
const CLEAR_RECIPIENT: &str = "age1clear1up74dn";
const INSIDE: &str = "COFFERDAM_TEST_WITH_PLUGINS";
const KEY: [u8; 32] = [0xc5; 32];
const HEAD: [u8; 80] = [0x3a; 80];
