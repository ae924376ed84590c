//! What escapes in JSON strings stand for.
//!
//! It judges no grammar: [`super::lex`] has done so before.

/// Appends what `raw`, already held against the grammar, stands for; stops before `text_bytes`
/// would be passed. Half a surrogate pair becomes the replacement character.
pub(super) fn unescape(raw: &str, text_bytes: usize, out: &mut String) {
    let start = out.len();
    let mut rest = raw.chars();
    while let Some(first) = rest.next() {
        let char = match first {
            '\\' => match rest.next() {
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('u') => unescape_unicode(&mut rest),
                Some(itself) => itself,
                None => return,
            },
            plain => plain,
        };
        if out.len() - start + char.len_utf8() > text_bytes {
            return;
        }
        out.push(char);
    }
}

fn unescape_unicode(rest: &mut std::str::Chars<'_>) -> char {
    let unit = hex(rest);
    if (0xd800..0xdc00).contains(&unit) {
        let mut ahead = rest.clone();
        if ahead.next() == Some('\\') && ahead.next() == Some('u') {
            let low = hex(&mut ahead);
            if (0xdc00..0xe000).contains(&low) {
                *rest = ahead;
                let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            }
        }
    }
    char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn hex(rest: &mut std::str::Chars<'_>) -> u32 {
    rest.by_ref()
        .take(4)
        .filter_map(|digit| digit.to_digit(16))
        .fold(0, |sum, digit| sum * 16 + digit)
}
