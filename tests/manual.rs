//! Shell completions and man pages. They are generated from the options, so none is missing.

use chainrule_tests_macros::test;

use crate::command::{call, code, folder, process, text};
use crate::support::skip;

/// Returns the commands that `--help` lists.
pub(crate) fn commands() -> Vec<String> {
    let help = text(&call(folder().path(), &["--help"]).stdout);
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    // A continued line has a deeper indent.
    let names = listed.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

fn script(shell: &str) -> String {
    let output = call(folder().path(), &["completions", shell]);
    assert_eq!((code(&output), text(&output.stderr).as_str()), (Some(0), ""), "{shell}");
    text(&output.stdout)
}

#[test]
fn completions_list_every_command() {
    let commands = commands();
    assert!(commands.len() > 8, "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = script(shell);
        let missing: Vec<&String> = commands.iter().filter(|command| !script.contains(command.as_str())).collect();
        assert!(missing.is_empty(), "{shell}: {missing:?}");
    }
}

#[test]
fn bash_completes_a_command_and_an_option() {
    if process("bash").arg("--version").output().is_err() {
        skip("no bash");
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("completions"), script("bash")).unwrap();
    for (words, expected) in [("chainrule tr", "train"), ("chainrule train --resu", "--resume")] {
        let words: Vec<&str> = words.split(' ').collect();
        let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
        let script_text = format!(
            "source ./completions; COMP_WORDS=({}); COMP_CWORD={}; _chainrule chainrule {last} {before}; echo \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1,
        );
        let output = process("bash").args(["--norc", "-ec", &script_text]).current_dir(folder.path()).output().unwrap();
        assert_eq!((text(&output.stdout).trim(), text(&output.stderr).as_str()), (expected, ""), "{words:?}");
    }
}

#[test]
fn every_command_has_a_man_page() {
    let folder = folder();
    let output = call(folder.path(), &["man", "--out", "pages"]);
    assert_eq!(code(&output), Some(0), "{}", text(&output.stderr));
    let mut expected = vec!["pages/chainrule.1".to_owned()];
    expected.extend(commands().iter().map(|command| format!("pages/chainrule-{command}.1")));
    assert_eq!(text(&output.stdout).lines().collect::<Vec<_>>(), expected);

    let printed = call(folder.path(), &["man"]);
    assert_eq!(printed.stdout, std::fs::read(folder.path().join("pages/chainrule.1")).unwrap());
    let train = std::fs::read_to_string(folder.path().join("pages/chainrule-train.1")).unwrap();
    // roff treats a bare hyphen as a possible line break.
    assert!(train.contains(r"\-\-resume") && train.contains("Examples:"), "{train}");
}

#[test]
fn man_pages_render_without_warnings() {
    let renders = |page: &str, folder: &std::path::Path| {
        // Plain letters, without overstrikes for bold.
        process("groff").args(["-man", "-Kutf8", "-Tutf8", "-ww", "-P-cbu", page]).current_dir(folder).output()
    };
    if process("groff").arg("--version").output().is_err() {
        skip("no groff");
    }
    let folder = folder();
    let written = text(&call(folder.path(), &["man", "--out", "pages"]).stdout);
    for page in written.lines() {
        let output = renders(page, folder.path()).unwrap();
        let (shown, complaints) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success() && complaints.is_empty(), "{page}: {complaints}");
        assert!(shown.contains("SYNOPSIS") && shown.contains("--help"), "{page}: {shown}");
    }
}

#[test]
fn an_unknown_shell_lists_the_known_ones() {
    let output = call(folder().path(), &["completions", "tcsh"]);
    let error = text(&output.stderr);
    assert_eq!(code(&output), Some(2));
    assert!(error.contains("tcsh") && error.contains("bash, elvish, fish, powershell, zsh"), "{error}");
}
