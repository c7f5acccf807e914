//! `#[test]` for a binary with its own harness. Without it, the compiler's attribute would drop the
//! function.

use proc_macro::{Delimiter, Group, TokenStream, TokenTree};

/// Keeps the function and adds it to the test list of the crate's `harness`.
///
/// Also handles and removes `#[ignore]` and `#[should_panic]`, which the compiler accepts only
/// beside its own attribute.
#[proc_macro_attribute]
pub fn test(_: TokenStream, function: TokenStream) -> TokenStream {
    let (mut kept, mut name, mut is_ignored, mut panics_with) = (Vec::new(), None, false, "None".to_owned());
    let mut tokens = function.into_iter().peekable();
    while let Some(token) = tokens.next() {
        if let (TokenTree::Punct(punct), Some(TokenTree::Group(attribute))) = (&token, tokens.peek())
            && punct.as_char() == '#'
        {
            let words: Vec<TokenTree> = attribute.stream().into_iter().collect();
            match words[0].to_string().as_str() {
                "ignore" => is_ignored = true,
                "should_panic" => panics_with = format!("Some({})", expected(&words)),
                _ => {
                    kept.push(token);
                    continue;
                }
            }
            // Skip the brackets after the `#`.
            tokens.next();
            continue;
        }
        if token.to_string() == "fn" && name.is_none() {
            name = tokens.peek().map(ToString::to_string);
        }
        kept.push(token);
    }
    let (Some(name), Some(TokenTree::Group(body))) = (name, kept.pop()) else {
        return "compile_error!(\"only a function is a test\");".parse().expect("this is Rust");
    };
    // Inside the function body, so that a `#[cfg]` on the function covers it, too.
    let registration = format!(
        "const _: () = {{
            ::inventory::submit! {{ crate::harness::Test {{
                module: ::core::module_path!(),
                name: \"{name}\",
                function: {name},
                is_ignored: {is_ignored},
                panics_with: {panics_with},
            }} }}
        }};"
    );
    let mut content: TokenStream = registration.parse().expect("this is Rust");
    content.extend(body.stream());
    let mut with_registration = Group::new(Delimiter::Brace, content);
    with_registration.set_span(body.span());
    kept.push(with_registration.into());
    kept.into_iter().collect()
}

/// Returns the text of `should_panic(expected = "text")` as written, or the empty text, which every
/// message contains.
fn expected(words: &[TokenTree]) -> String {
    let inner = words.get(1).map(|group| match group {
        TokenTree::Group(group) => group.stream().into_iter().last(),
        _ => None,
    });
    inner.flatten().map_or("\"\"".to_owned(), |literal| literal.to_string())
}
