/// Text from a file as a part of an error: in one line, without what would steer a terminal, and no longer than one reads.
pub fn one_line(text: &str) -> String {
    const MOST: usize = 200;
    let mut line = String::new();
    // What is cut off is never looked at, however long it is.
    for (count, c) in text.trim().chars().enumerate() {
        if count == MOST {
            line.push('…');
            break;
        }
        let c = if c.is_control() || c.is_whitespace() { ' ' } else { c };
        if c != ' ' || !line.ends_with(' ') {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn what_a_file_says_becomes_one_line_that_ends() {
        assert_eq!(one_line("  expected\n\n  a number\t!\r\n"), "expected a number !");
        assert_eq!(one_line("red \u{1b}[31m\0"), "red [31m ");
        assert_eq!(one_line("€".repeat(1000).as_str()), "€".repeat(200) + "…");
        assert!(one_line(&" a".repeat(1000)).len() <= 204);
    }
}
