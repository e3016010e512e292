use proptest::prelude::*;

use super::*;

const DIR: &str = "/usr/libexec/coldshoe/libcamera";
const NEW: Made = Made {
    frame: true,
    file: true,
    dirs: 2,
};

fn enabled(text: &str) -> String {
    joined(text, DIR, Made::default()).unwrap_or_else(|unclear| panic!("{unclear} of {text:?}"))
}

/// Enables, and says whether disabling gives the same again.
fn there_and_back(text: &str) -> String {
    let with = enabled(text);
    let parted = parted(&with).unwrap().expect("our lines are found");
    assert_eq!(parted.rest, text, "after {with:?}");
    assert_eq!((parted.proxies.as_str(), parted.made.file), (DIR, false));
    let said = said(&with).unwrap();
    assert!(said.ours && said.forced, "{with}");
    assert_eq!(said.paths, [DIR]);
    with
}

#[test]
fn a_file_of_our_own_says_what_was_made() {
    let made = Made {
        frame: false,
        ..NEW
    };
    let text = joined("", DIR, made).unwrap();
    assert_eq!(
        text,
        "version: 1\nconfiguration:\n  \
         # coldshoe: begin, by coldshoectl libcamera enable, which made the two lines above, the file, directories: 2\n  \
         ipa:\n    force_isolation: true\n    proxy_paths:\n      - /usr/libexec/coldshoe/libcamera\n  \
         # coldshoe: end\n"
    );
    let parted = parted(&text).unwrap().unwrap();
    assert_eq!((parted.rest.as_str(), parted.made), ("", NEW));
}

#[test]
fn what_is_there_stays_byte_for_byte_and_comes_back() {
    for text in [
        "",
        "# nothing but a comment",
        "\n\n# a comment\n\n",
        "---\n",
        "---",
        "# above\n---\n# below",
        "version: 1\nconfiguration:\n",
        "version: 1\nconfiguration:",
        "version: 1\r\nconfiguration:",
        "version: 1\r\nconfiguration:\r\n  pipelines_match_list:\r\n    - simple\r\n",
        "---\nversion: 1   # the only one\nconfiguration: # all of it\n    software_isp:\n        threads: 2",
        "version: 1\nconfiguration:\n  # first\n  pipelines:\n    simple:\n      supported_devices:\n      - driver: mxc-isi\n        software_isp: true\n",
        "version: 1\nconfiguration:\n  ipa:\n    config_paths:\n      - /home/a b/ipa\n",
        "version: 1\nconfiguration:\n  ipa:\n  software_isp:\n    mode: gpu\n",
        "version: 1\nconfiguration:\n  ipa:",
        "configuration:\n  x: [1, 'it''s', \"a \\\" b\"] # it's\nversion: 1\nother:\n- 1\n- 2\n",
        "version: 1\nconfiguration:\n  note: |\n    # text\n    and: more\n",
    ] {
        there_and_back(text);
    }
}

#[test]
fn lines_are_put_where_they_belong() {
    let with =
        there_and_back("version: 1\nconfiguration:\n    software_isp:\n        threads: 2\n");
    assert!(with.contains("configuration:\n    # coldshoe: begin"));
    assert!(with.contains("    ipa:\n      force_isolation: true\n"));
    assert!(with.contains("    # coldshoe: end\n    software_isp:\n"));
    let with = there_and_back("version: 1\nconfiguration:\n  ipa:\n     config_paths: [/a]\n");
    assert!(with.contains("  ipa:\n     # coldshoe: begin"));
    assert!(with.contains("\n     force_isolation: true\n     proxy_paths:\n       - /usr"));
}

#[test]
fn what_cannot_be_joined_safely_is_refused_with_its_line() {
    let head = "version: 1\nconfiguration:\n";
    for (text, line, why) in [
        (
            format!("{head}  ipa:\n    force_isolation: false\n"),
            4,
            "sets `force_isolation` itself",
        ),
        (
            format!("{head}  ipa:\n    a: 1\n    proxy_paths: []\n"),
            5,
            "sets `proxy_paths` itself",
        ),
        (format!("{head}  ipa: {{}}\n"), 3, "value on the same line"),
        (
            "version: 1\nconfiguration: {a: 1}\n".into(),
            2,
            "value on the same line",
        ),
        (
            "version: 1\nconfiguration: &a\n  x: 1\n".into(),
            2,
            "value on the same line",
        ),
        ("version: 1\nconfiguration:\n- a\n".into(), 3, "plain key"),
        (
            "version: 1\nconfiguration:\n  words and more\n".into(),
            3,
            "plain key",
        ),
        (
            "version: 1\n\"configuration\":\n  a: 1\n".into(),
            2,
            "plain key",
        ),
        (format!("{head}  a: 1\n  <<: *b\n"), 4, "plain key"),
        (
            format!("{head}  a: 1\nconfiguration:\n  b: 1\n"),
            4,
            "twice",
        ),
        (format!("{head}  ipa:\n  ipa:\n"), 4, "twice"),
        (format!("{head}    a: 1\n  b: 1\n"), 4, "indented neither"),
        (format!("{head}\ta: 1\n"), 3, "tab"),
        (format!("{head}  a: 'one\nipa:\n  two'\n"), 3, "closed"),
        (format!("{head}  a: [1,\n 2]\n"), 3, "closed"),
        (format!("{head}  a: it's\n"), 3, "closed"),
        (format!("{head}  a: ]\n"), 3, "closed"),
        (format!("{head}---\nb: 1\n"), 3, "document"),
        ("%YAML 1.1\n---\nversion: 1\n".into(), 1, "document"),
        ("version: 2\nconfiguration:\n".into(), 1, "version: 1"),
        ("configuration:\n".into(), 1, "version: 1"),
        ("version: 1\n".into(), 1, "`configuration:` is in no line"),
        (" version: 1\n configuration:\n".into(), 1, "indented"),
        ("version: 1\rconfiguration:\n".into(), 1, "character"),
        ("version: 1\nconfiguration:\r".into(), 2, "character"),
        (
            "\u{feff}version: 1\nconfiguration:\n".into(),
            1,
            "character",
        ),
        (
            "version: 1 # a\u{2028}b\nconfiguration:\n".into(),
            1,
            "character",
        ),
        ("plain words".into(), 1, "plain key"),
    ] {
        let unclear = joined(&text, DIR, Made::default()).unwrap_err();
        assert_eq!(unclear.line, line, "{unclear} of {text:?}");
        assert!(unclear.why.contains(why), "{unclear} of {text:?}");
    }
}

#[test]
fn what_somebody_wrote_meanwhile_stays() {
    let own = joined("", DIR, NEW).unwrap();
    let edited = format!("# mine\n{own}  software_isp:\n    threads: 2\n");
    let parted = parted(&edited).unwrap().unwrap();
    assert_eq!(
        parted.rest,
        "# mine\nversion: 1\nconfiguration:\n  software_isp:\n    threads: 2\n"
    );
    assert_eq!(parted.made, Made::default());
}

#[test]
fn a_comment_that_somebody_wrote_keeps_the_file() {
    let own = joined("", DIR, NEW).unwrap();
    let parted = parted(&format!("{own}# mine\n")).unwrap().unwrap();
    assert_eq!(parted.rest, "# mine\n");
    assert!(!parted.made.file);
}

#[test]
fn lines_that_are_found_by_an_editor_with_other_line_endings_go_too() {
    let own = joined("", DIR, NEW).unwrap().replace('\n', "\r\n");
    let parted = parted(&own).unwrap().unwrap();
    assert_eq!((parted.rest.as_str(), parted.made), ("", NEW));
}

#[test]
fn what_is_between_our_comments_and_not_ours_is_named_and_not_thrown_away() {
    let own = joined("", DIR, NEW).unwrap();
    let more = "    force_isolation: true\n    config_paths: [/mine]\n";
    for (edited, line) in [
        (own.replace("    force_isolation: true\n", more), 6),
        (own.replace("true", "false"), 5),
        (own.replace("    force_isolation: true\n", ""), 5),
        (
            own.replace("      - /usr/libexec/coldshoe/libcamera\n", ""),
            3,
        ),
        (own.replace("  # coldshoe: end\n", ""), 3),
        (own.replace("  # coldshoe: begin", "  # begin"), 8),
        (format!("{own}\n# mine\n    config_paths: [/mine]\n"), 11),
        (format!("{own}# coldshoe: begin\n"), 9),
    ] {
        let unclear = parted(&edited).unwrap_err();
        assert_eq!(unclear.line, line, "{unclear} of {edited}");
    }
    assert_eq!(parted("version: 1\n").unwrap(), None);
}

#[test]
fn what_is_written_by_hand_is_understood() {
    let by_hand = |ipa: &str| said(&format!("version: 1\nconfiguration:\n  ipa:\n{ipa}")).unwrap();
    let flow = by_hand("    force_isolation: true\n    proxy_paths: ['/a b', /c]\n");
    let block =
        by_hand("    proxy_paths: # mine\n    - '/a b'\n    - /c\n    force_isolation: true\n");
    for said in [flow, block] {
        assert!(said.forced && !said.ours);
        assert_eq!(said.paths, ["/a b", "/c"]);
    }
    assert_eq!(by_hand("    config_paths: [/a]\n"), Said::default());
    assert_eq!(said("# nothing\n").unwrap(), Said::default());
    said("version: 2\n").unwrap_err();
}

#[test]
fn a_path_with_other_characters_is_quoted_and_found_again() {
    for path in ["/opt/cold shoe", "/it's", "/a: b", "/#c", "/ü", "/x]"] {
        let text = joined("", &quoted(path).unwrap(), NEW).unwrap();
        assert_eq!(said(&text).unwrap().paths, [path]);
        assert_eq!(parted(&text).unwrap().unwrap().proxies, path);
    }
    for path in ["/a\nb", "/a\tb", "/a\u{2028}b", "/\u{7f}"] {
        assert_eq!(quoted(path), None);
    }
}

/// Lines as configurations have them, and some that they should not have.
fn line() -> impl Strategy<Value = String> {
    let indent = (0_usize..4).prop_map(|n| " ".repeat(n * 2));
    let text = prop::sample::select(vec![
        "version: 1",
        "configuration:",
        "ipa:",
        "force_isolation: true",
        "config_paths:",
        "- /a",
        "software_isp:",
        "threads: 2",
        "# a comment",
        "",
        "---",
        "text: |",
        "a: 'b",
        "c: [1, 2]",
        "\t",
        "# coldshoe: end",
    ]);
    (indent, text).prop_map(|(indent, text)| indent + text)
}

fn document() -> impl Strategy<Value = String> {
    let head = prop::sample::select(vec![
        "",
        "version: 1\nconfiguration:\n",
        "---\nversion: 1\n",
    ]);
    let ending = prop::sample::select(vec!["\n", "\r\n"]);
    (
        head,
        prop::collection::vec(line(), 0..12),
        ending,
        any::<bool>(),
    )
        .prop_map(|(head, lines, ending, ended)| {
            let text = head.to_owned() + &lines.join("\n");
            let text = text.replace('\n', ending);
            if ended { text + ending } else { text }
        })
}

fn comes_back(text: &str) -> Result<(), TestCaseError> {
    if let Ok(with) = joined(text, DIR, Made::default()) {
        let parted = parted(&with).unwrap().unwrap();
        prop_assert_eq!(&parted.rest, text);
        prop_assert!(!parted.made.file);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn disabling_undoes_enabling(text in document()) {
        comes_back(&text)?;
    }

    #[test]
    fn disabling_undoes_enabling_of_any_text(text in any::<String>()) {
        comes_back(&text)?;
    }

    #[test]
    fn no_text_is_too_strange(text in any::<String>(), other in document()) {
        for text in [text, other] {
            let _ = (joined(&text, DIR, NEW), parted(&text), said(&text));
        }
    }
}
