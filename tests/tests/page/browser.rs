//! Chromium, one for all tests that run at the same time; each has a context of its own, so that none sees another's
//! cookies.

use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use chromiumoxide::Browser;
use chromiumoxide::cdp::browser_protocol::target::{CreateBrowserContextParams, CreateTargetParams};
use chromiumoxide::handler::HandlerConfig;
use fedgate_tests::process::Process;
use futures_util::StreamExt as _;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::tab::Tab;

/// What a browser does by itself that a test does not want.
const QUIETLY: [&str; 13] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
    "--remote-debugging-port=0",
];

/// A browser that runs. Fields are in the order in which they are to end.
pub(super) struct Chromium {
    browser: Browser,
    runtime: Runtime,
    _process: Process,
    _dir: TempDir,
}

/// The one that is there, or a new one.
pub(super) fn shared() -> Arc<Chromium> {
    static ONE: Mutex<Weak<Chromium>> = Mutex::new(Weak::new());
    let mut one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    one.upgrade().unwrap_or_else(|| {
        let started = Arc::new(Chromium::start());
        *one = Arc::downgrade(&started);
        started
    })
}

// === impl Chromium ===

impl Chromium {
    fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("fedgate-browser-").tempdir().expect("a folder");
        let profile = dir.path().join("profile");
        let mut command = Command::new("chromium");
        command.args(QUIETLY).arg(format!("--user-data-dir={}", profile.display())).arg("about:blank");
        let mut process = Process::start(&mut command, &dir.path().join("log"));
        let port = profile.join("DevToolsActivePort");
        process.wait_until("the browser can be spoken to", || address(&port).is_some());
        let url = address(&port).expect("it was there just now");
        let runtime = Runtime::new().expect("a runtime");
        let browser = runtime.block_on(async {
            let config = HandlerConfig { viewport: None, ..HandlerConfig::default() };
            let (browser, mut handler) =
                Browser::connect_with_config(url, config).await.expect("the browser can be spoken to");
            // What it cannot read of the protocol is told there, too, and is none of ours.
            tokio::spawn(async move { while handler.next().await.is_some() {} });
            browser
        });
        Self { browser, runtime, _process: process, _dir: dir }
    }

    /// Waits for what the browser is to do.
    pub(super) fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// A tab of a context of its own.
    pub(super) fn tab(self: &Arc<Self>, url: &str) -> Tab {
        let page = self.run(async {
            let context = CreateBrowserContextParams::builder().dispose_on_detach(true).build();
            let context = self.browser.create_browser_context(context).await.expect("a context");
            let blank = CreateTargetParams::builder().url("about:blank").browser_context_id(context);
            self.browser.new_page(blank.build().expect("it has a URL")).await.expect("a tab")
        });
        Tab::new(self.clone(), page, url)
    }
}

/// Where the browser listens for us, once it does.
fn address(port: &Path) -> Option<String> {
    let text = std::fs::read_to_string(port).ok()?;
    let (port, path) = text.split_once('\n')?;
    Some(format!("ws://127.0.0.1:{}{}", port.trim(), path.trim())).filter(|_| path.starts_with('/'))
}
