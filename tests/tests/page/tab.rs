//! One tab: goes, reads, types and clicks as people do; and notes what the browser complains of.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};

use chromiumoxide::Page;
use chromiumoxide::cdp::browser_protocol::emulation::{
    MediaFeature, SetDeviceMetricsOverrideParams, SetEmulatedMediaParams,
    SetScriptExecutionDisabledParams,
};
use chromiumoxide::cdp::browser_protocol::input::{
    DispatchKeyEventParams, DispatchKeyEventType, DispatchMouseEventParams, DispatchMouseEventType,
    InsertTextParams, MouseButton,
};
use chromiumoxide::cdp::browser_protocol::log::{
    EnableParams as LogEnable, EventEntryAdded, LogEntrySource,
};
use chromiumoxide::cdp::browser_protocol::page::CaptureScreenshotFormat;
use chromiumoxide::cdp::js_protocol::runtime::{
    EnableParams as RuntimeEnable, EvaluateParams, EventConsoleApiCalled, EventExceptionThrown,
};
use chromiumoxide::page::{ScreenshotParams, ScreenshotParamsBuilder};
use fedgate_tests::artifacts;
use fedgate_tests::process::eventually;
use futures_util::StreamExt as _;
use serde_json::Value;

use super::browser::Chromium;

/// A tab at one control plane.
pub(super) struct Tab {
    chromium: Arc<Chromium>,
    page: Page,
    url: String,
    complaints: Arc<Mutex<Vec<String>>>,
}

/// The looks of a page.
pub(super) const THEMES: [&str; 2] = ["light", "dark"];

// === impl Tab ===

impl Tab {
    pub(super) fn new(chromium: Arc<Chromium>, page: Page, url: &str) -> Self {
        let complaints: Arc<Mutex<Vec<String>>> = Arc::default();
        let tab = Self { chromium, page, url: url.to_owned(), complaints };
        tab.chromium.run(tab.listen());
        tab.resize(1280, 900);
        tab
    }

    /// Notes what is said on the console, and of the policy for content.
    async fn listen(&self) {
        self.page.execute(LogEnable::default()).await.expect("a log");
        self.page.execute(RuntimeEnable::default()).await.expect("a console");
        let mut log = self.page.event_listener::<EventEntryAdded>().await.expect("a log");
        let mut thrown = self.page.event_listener::<EventExceptionThrown>().await.expect("exceptions");
        let mut said = self.page.event_listener::<EventConsoleApiCalled>().await.expect("a console");
        let complaints = self.complaints.clone();
        let note = move |text: String| {
            complaints.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        };
        tokio::spawn(async move {
            loop {
                let text = tokio::select! {
                    Some(it) = log.next() => {
                        // A page that says no has a status that says so, too.
                        let is_status = it.entry.source == LogEntrySource::Network
                            && it.entry.text.contains("the server responded with a status of 4");
                        if is_status {
                            continue;
                        }
                        format!("{:?}", it.entry)
                    }
                    Some(it) = thrown.next() => format!("{:?}", it.exception_details),
                    Some(it) = said.next() => format!("{:?}", it.args),
                    else => return,
                };
                note(text);
            }
        });
    }

    /// Has no script run from the next page on.
    pub(super) fn without_script(self) -> Self {
        let off = SetScriptExecutionDisabledParams::new(true);
        self.chromium.run(self.page.execute(off)).expect("scripts can be switched off");
        self
    }

    /// Has the window as wide and as high, in pixels.
    pub(super) fn resize(&self, width: i64, height: i64) {
        let size = SetDeviceMetricsOverrideParams::new(width, height, 1.0, width < 500);
        self.chromium.run(self.page.execute(size)).expect("a window can be resized");
    }

    /// Has the reader want it light or dark.
    pub(super) fn theme(&self, theme: &str) {
        let feature = MediaFeature::new("prefers-color-scheme", theme);
        let media = SetEmulatedMediaParams::builder().feature(feature).build();
        self.chromium.run(self.page.execute(media)).expect("a theme can be chosen");
    }

    /// Goes to a path.
    pub(super) fn go(&self, path: &str) {
        self.open(&format!("{}{path}", self.url));
    }

    /// Opens a page of anybody's.
    pub(super) fn open(&self, url: &str) {
        self.leaving(|| {
            // A place on the same page is gone to by itself.
            self.chromium.run(self.page.goto("about:blank")).expect("a page can be left");
            self.chromium.run(self.page.goto(url)).expect("a page can be loaded");
        });
    }

    /// Evaluates an expression in the page, whether its own scripts run or not.
    pub(super) fn ask(&self, expression: &str) -> Value {
        self.try_ask(expression).unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    fn try_ask(&self, expression: &str) -> Result<Value, String> {
        let params = EvaluateParams::builder()
            .expression(expression)
            .return_by_value(true)
            .await_promise(true)
            .build()?;
        let answer = self.chromium.run(self.page.execute(params)).map_err(|error| error.to_string())?;
        if let Some(exception) = &answer.result.exception_details {
            return Err(format!("{exception:?}"));
        }
        Ok(answer.result.result.value.clone().unwrap_or(Value::Null))
    }

    /// Waits until an expression is true.
    pub(super) fn wait(&self, what: &str, expression: &str) {
        let holds = || self.try_ask(expression).is_ok_and(|value| value == true);
        let waited = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually(what, || holds().then_some(()));
        }));
        assert!(waited.is_ok(), "waited in vain for: {what}\n{}", self.text());
    }

    /// Does what leads to another page, and waits for it.
    fn leaving(&self, act: impl FnOnce()) {
        let _ = self.try_ask("window.isOfBefore = true");
        act();
        self.wait("another page", "!window.isOfBefore && document.readyState === 'complete' && !!document.querySelector('main')");
    }

    /// All that is to be read.
    pub(super) fn text(&self) -> String {
        self.try_ask("document.body.innerText").map_or_else(|error| error, |it| text(&it))
    }

    /// The path, with its query.
    pub(super) fn path(&self) -> String {
        text(&self.ask("location.pathname + location.search"))
    }

    /// Whether this is to be read.
    #[track_caller]
    pub(super) fn assert_reads(&self, words: &str) {
        let all = self.text();
        assert!(all.contains(words), "{words:?} is not on {}:\n{all}", self.path());
    }

    /// Waits until this is to be read, on a page that looks again by itself, or is loaded again.
    pub(super) fn wait_for(&self, words: &str) {
        eventually(words, || self.text().contains(words).then_some(()));
    }

    /// Whether there is a link or a button of this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.ask(&format!("!!({})", control(name))) == true
    }

    /// Clicks what has this name, and waits for the page that it leads to.
    pub(super) fn click(&self, name: &str) {
        self.leaving(|| self.press(&control(name)));
    }

    /// Clicks what an expression gives, and waits for the page that it leads to.
    pub(super) fn click_at(&self, element: &str) {
        self.leaving(|| self.press(element));
    }

    /// Clicks in the middle of an element.
    pub(super) fn press(&self, element: &str) {
        let find = format!(
            "(() => {{ const it = {element}; if (!it) return null; it.scrollIntoView({{block: 'center'}});
               const box = it.getClientRects()[0]; return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        );
        let at = eventually(element, || Some(self.ask(&find)).filter(Value::is_array));
        let place = |n: usize| at[n].as_f64().expect("a number");
        for kind in [DispatchMouseEventType::MousePressed, DispatchMouseEventType::MouseReleased] {
            let event = DispatchMouseEventParams::builder().r#type(kind).x(place(0)).y(place(1));
            let event = event.button(MouseButton::Left).click_count(1).build().expect("a click");
            self.chromium.run(self.page.execute(event)).expect("one can click");
        }
    }

    /// Presses a key, by its name.
    pub(super) fn key(&self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            other => panic!("{other} is no key that is known here"),
        };
        let event = |kind| {
            let event = DispatchKeyEventParams::builder().r#type(kind).key(key).code(key);
            let event = event.windows_virtual_key_code(code);
            let event = if key == "Enter" { event.text("\r") } else { event };
            event.build().expect("a key")
        };
        for kind in [DispatchKeyEventType::KeyDown, DispatchKeyEventType::KeyUp] {
            self.chromium.run(self.page.execute(event(kind))).expect("one can type");
        }
    }

    /// Presses Enter, and waits for the page that it leads to.
    pub(super) fn enter(&self) {
        self.leaving(|| self.key("Enter"));
    }

    /// Types a text into where the focus is.
    pub(super) fn type_in(&self, text: &str) {
        self.chromium.run(self.page.execute(InsertTextParams::new(text))).expect("one can type");
    }

    /// Types into the field with this label, in place of what is there.
    pub(super) fn fill(&self, label: &str, value: &str) {
        let field = field(label);
        self.ask(&format!("(() => {{ const it = {field}; it.focus(); it.select(); }})()"));
        if value.is_empty() {
            self.ask(&format!("{field}.value = ''"));
        } else {
            self.type_in(value);
        }
    }

    /// Chooses of a list, or of buttons that exclude each other.
    pub(super) fn choose(&self, label: &str, value: &str) {
        let value = Value::from(value);
        let field = field(label);
        self.ask(&format!("{field}.value = {value}"));
        assert_eq!(self.ask(&format!("{field}.value")), value, "{label}");
    }

    /// What is in a field.
    pub(super) fn value(&self, label: &str) -> String {
        text(&self.ask(&format!("{}.value", field(label))))
    }

    /// Logs in.
    pub(super) fn log_in(&self, token: &str) {
        self.go("/page/login");
        self.fill("Token", token);
        self.click("Log in");
    }

    /// That neither console nor policy has anything to say.
    #[track_caller]
    pub(super) fn assert_clean(&self) {
        let complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(complaints.is_empty(), "{}: {complaints:#?}", self.path());
    }

    /// That everybody can use the page, in both themes; and that it fits into 320 pixels.
    #[track_caller]
    pub(super) fn assert_accessible(&self) {
        let axe = artifacts::read(".tools/axe-core.js");
        for theme in THEMES {
            self.theme(theme);
            let check = format!(
                "(async () => {{ if (!window.axe) {{ {axe} }} const found = await axe.run();
                   return found.violations.filter(it => ['serious', 'critical'].includes(it.impact))
                     .map(it => [it.id, it.help, it.nodes.map(node => node.html + ' ' + node.failureSummary)]); }})()"
            );
            let found = self.ask(&check);
            assert_eq!(found, serde_json::json!([]), "{} in {theme}: {found:#}", self.path());
        }
        self.theme("light");
        self.resize(320, 800);
        let wide = self.ask("document.documentElement.scrollWidth");
        self.resize(1280, 900);
        assert!(wide.as_i64() <= Some(320), "{} is {wide} pixels wide in 320", self.path());
    }

    /// Keeps pictures of the page, at the width of a desk and of a hand, in target/page.
    pub(super) fn keep(&self, name: &str) {
        let folder = artifacts::repository().join("target/page");
        fs::create_dir_all(&folder).expect("a folder for pictures");
        for (width, height) in [(1280, 900), (390, 844)] {
            self.resize(width, height);
            fs::write(folder.join(format!("{name}-{width}.png")), self.picture()).expect("a picture");
        }
        self.resize(1280, 900);
    }

    /// A picture of all of the page, as PNG.
    pub(super) fn picture(&self) -> Vec<u8> {
        self.taken(ScreenshotParams::builder().format(CaptureScreenshotFormat::Png))
    }

    /// The same as WebP, which is small enough to go with the documents.
    pub(super) fn small_picture(&self) -> Vec<u8> {
        self.taken(ScreenshotParams::builder().format(CaptureScreenshotFormat::Webp).quality(60))
    }

    fn taken(&self, params: ScreenshotParamsBuilder) -> Vec<u8> {
        let whole = params.full_page(true);
        self.chromium.run(self.page.screenshot(whole.build())).expect("a picture can be taken")
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        // Who fails to close it has no browser any more.
        let _ = self.chromium.run(self.page.clone().close());
    }
}

/// The link or button of this name.
fn control(name: &str) -> String {
    let name = Value::from(name);
    format!(
        "[...document.querySelectorAll('main a, main button'), ...document.querySelectorAll('a, button')]
           .find(it => it.innerText.trim() === {name})"
    )
}

/// The control with this label.
fn field(label: &str) -> String {
    let label = Value::from(label);
    format!(
        "[...document.querySelectorAll('label')].find(it => it.innerText.trim() === {label}).control"
    )
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
