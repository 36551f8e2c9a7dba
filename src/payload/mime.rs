//! Media types by file name: those of the web and of common documents, registered
//! with the IANA (www.iana.org/assignments/media-types).

use std::fmt::Write as _;

use super::{Addition, Content, File};
use crate::need::Need;

/// Where Debian has it, and where Go, Python and many servers look.
const PATH: &str = "/etc/mime.types";
/// Where its owner may have another.
pub(super) const PLACES: &[&str] = &[
    PATH,
    "/etc/apache2/mime.types",
    "/etc/apache/mime.types",
    "/etc/httpd/conf/mime.types",
    "/usr/share/mime/globs2",
    "/usr/local/share/mime/globs2",
];

/// Types with their extensions, in the format's own order: the first extension is
/// the one to use.
#[rustfmt::skip]
const TYPES: &[(&str, &str)] = &[
    ("application/epub+zip", "epub"),
    ("application/gzip", "gz tgz"),
    ("application/java-archive", "jar"),
    ("application/json", "json map"),
    ("application/ld+json", "jsonld"),
    ("application/manifest+json", "webmanifest"),
    ("application/msword", "doc dot"),
    ("application/octet-stream", "bin img iso"),
    ("application/ogg", "ogx"),
    ("application/pdf", "pdf"),
    ("application/pkcs8", "p8"),
    ("application/pkcs10", "p10"),
    ("application/pkix-cert", "cer"),
    ("application/postscript", "ps eps ai"),
    ("application/rtf", "rtf"),
    ("application/sql", "sql"),
    ("application/vnd.api+json", "jsonapi"),
    ("application/vnd.debian.binary-package", "deb ddeb udeb"),
    ("application/vnd.ms-excel", "xls xlm xla"),
    ("application/vnd.ms-fontobject", "eot"),
    ("application/vnd.ms-powerpoint", "ppt pps pot"),
    ("application/vnd.oasis.opendocument.presentation", "odp"),
    ("application/vnd.oasis.opendocument.spreadsheet", "ods"),
    ("application/vnd.oasis.opendocument.text", "odt"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.sqlite3", "sqlite sqlite3"),
    ("application/wasm", "wasm"),
    ("application/xhtml+xml", "xhtml xht"),
    ("application/xml", "xml xsl"),
    ("application/yaml", "yaml yml"),
    ("application/zip", "zip"),
    ("application/zstd", "zst"),
    ("audio/aac", "aac"),
    ("audio/flac", "flac"),
    ("audio/mp4", "m4a mp4a"),
    ("audio/mpeg", "mp3 mp2 mpga"),
    ("audio/ogg", "ogg oga opus spx"),
    ("audio/wav", "wav"),
    ("audio/webm", "weba"),
    ("font/collection", "ttc"),
    ("font/otf", "otf"),
    ("font/ttf", "ttf"),
    ("font/woff", "woff"),
    ("font/woff2", "woff2"),
    ("image/apng", "apng"),
    ("image/avif", "avif"),
    ("image/bmp", "bmp"),
    ("image/gif", "gif"),
    ("image/heic", "heic"),
    ("image/jpeg", "jpg jpeg jpe"),
    ("image/jxl", "jxl"),
    ("image/png", "png"),
    ("image/svg+xml", "svg svgz"),
    ("image/tiff", "tif tiff"),
    ("image/vnd.microsoft.icon", "ico"),
    ("image/webp", "webp"),
    ("message/rfc822", "eml mime"),
    ("model/gltf+json", "gltf"),
    ("model/gltf-binary", "glb"),
    ("model/stl", "stl"),
    ("text/calendar", "ics ifb"),
    ("text/css", "css"),
    ("text/csv", "csv"),
    ("text/html", "html htm"),
    ("text/javascript", "js mjs cjs"),
    ("text/markdown", "md markdown"),
    ("text/plain", "txt text conf log"),
    ("text/tab-separated-values", "tsv"),
    ("text/vcard", "vcf vcard"),
    ("text/vtt", "vtt"),
    ("video/mp4", "mp4 m4v"),
    ("video/mpeg", "mpg mpeg mpe"),
    ("video/ogg", "ogv"),
    ("video/quicktime", "mov qt"),
    ("video/webm", "webm"),
];

pub(super) fn addition(need: &Need) -> Addition {
    let mut text = String::new();
    for (media, extensions) in TYPES {
        let _ = writeln!(text, "{media} {extensions}");
    }
    let what = "media types by file name";
    let files = vec![File {
        path: PATH.to_owned(),
        content: Content::Bytes(text.into_bytes()),
    }];
    Addition::new(
        PATH,
        what,
        "ampoule, after the IANA's registry",
        need,
        files,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn types_are_in_order_and_no_extension_has_two() {
        assert!(TYPES.is_sorted_by_key(|(media, _)| media.split('/').next()));
        let mut seen = BTreeSet::new();
        for extension in TYPES.iter().flat_map(|(_, all)| all.split(' ')) {
            assert!(seen.insert(extension), "{extension} is there twice");
        }
    }
}
