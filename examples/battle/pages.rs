//! The page: a few files in the binary, and what is answered to everything else.

use unsync_websocket::{HandshakeError, ServerRequest};

use crate::cores::Cores;
use crate::sockets::Socket;
use crate::wish::Wish;

/// What the page may do: run our script, use our style, draw our icon, and connect to where it came from.
const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

struct Page {
    path: &'static str,
    kind: &'static str,
    body: &'static str,
}

const PAGES: [Page; 17] = [
    Page { path: "/", kind: "text/html; charset=utf-8", body: include_str!("page/index.html") },
    style("/style.css", include_str!("page/style.css")),
    Page { path: "/admin", kind: "text/html; charset=utf-8", body: include_str!("page/admin.html") },
    style("/admin.css", include_str!("page/admin.css")),
    script("/admin.js", include_str!("page/admin.js")),
    script("/main.js", include_str!("page/main.js")),
    script("/wire.js", include_str!("page/wire.js")),
    script("/world.js", include_str!("page/world.js")),
    script("/net.js", include_str!("page/net.js")),
    script("/controls.js", include_str!("page/controls.js")),
    script("/ahead.js", include_str!("page/ahead.js")),
    script("/scene.js", include_str!("page/scene.js")),
    script("/effects.js", include_str!("page/effects.js")),
    script("/hud.js", include_str!("page/hud.js")),
    script("/lobby.js", include_str!("page/lobby.js")),
    script("/sound.js", include_str!("page/sound.js")),
    Page { path: "/favicon.svg", kind: "image/svg+xml", body: FAVICON },
];

const fn style(path: &'static str, body: &'static str) -> Page {
    Page { path, kind: "text/css; charset=utf-8", body }
}

const fn script(path: &'static str, body: &'static str) -> Page {
    Page { path, kind: "text/javascript; charset=utf-8", body }
}

const FAVICON: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#0a0e1c"/><path d="M27 16 7 25l4-9-4-9z" fill="#4cf" stroke="#cff" stroke-width="1.5" stroke-linejoin="round"/></svg>"##;

/// Answers a request that is not for the socket.
pub(crate) async fn answer<S: Socket>(
    request: ServerRequest<S>,
    cores: &Cores<S::Packed>,
) -> Result<(), HandshakeError> {
    if !matches!(request.method(), "GET" | "HEAD") {
        return request.reject(405).header("Allow", "GET, HEAD").body("only GET and HEAD").await;
    }
    if Wish::of(&request).is_some() {
        return request.reject(426).body("this is for WebSockets").await;
    }
    let plain = |request: ServerRequest<S>, status| {
        let response =
            request.respond(status).header("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
        response.header("X-Content-Type-Options", "nosniff").header("Cache-Control", "no-store")
    };
    match request.path() {
        "/metrics" => return plain(request, 200).body(cores.metrics()).await,
        // For who asks whether to send more players here.
        "/health" if cores.is_ending() => return plain(request, 503).body("draining\n").await,
        "/health" => return plain(request, 200).body("ok\n").await,
        "/best" => {
            return match cores.results() {
                // Nothing is kept, and so there is no best.
                None => plain(request, 200).body("").await,
                Some(results) => match results.best().await {
                    Ok(best) => plain(request, 200).body(best).await,
                    Err(error) => {
                        log::error!(error:%; "the best cannot be read");
                        plain(request, 500).body("they cannot be read\n").await
                    }
                },
            };
        }
        _ => {}
    }
    // Browsers ask for this one unasked.
    let path = if request.path() == "/favicon.ico" { "/favicon.svg" } else { request.path() };
    let Some(page) = PAGES.iter().find(|page| page.path == path) else {
        log::info!(path = request.path(); "no such page");
        return request.reject(404).body("there is nothing here").await;
    };
    request
        .respond(200)
        .header("Content-Type", page.kind)
        .header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        .header("X-Content-Type-Options", "nosniff")
        .header("Referrer-Policy", "no-referrer")
        .header("Cache-Control", "no-store")
        .body(page.body)
        .await
}
