// What the page does beside what it is: the reader's own time, and looking again when something has changed.
(() => {
  "use strict";
  const zone = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
  const times = (root) => {
    for (const time of root.querySelectorAll("time[datetime]")) {
      const at = new Date(time.dateTime);
      if (!Number.isNaN(at.valueOf()) && !time.querySelector("span")) {
        const own = document.createElement("span");
        own.textContent = ` (${zone.format(at)})`;
        time.append(own);
      }
    }
  };
  times(document);

  const at = document.body.dataset.live;
  if (!at) return;
  const PAUSE = 10000;
  let source = null, known = null, last = Date.now(), due = null;
  // Whoever reads by keyboard, or writes, is left alone.
  const isInUse = () => {
    const main = document.getElementById("main");
    const focus = document.activeElement;
    const typed = [...main.querySelectorAll("input:not([type=hidden]), textarea, select")].some((it) =>
      it.type === "checkbox" || it.type === "radio" ? it.checked !== it.defaultChecked
        : it.tagName === "SELECT" ? [...it.options].some((o) => o.selected !== o.defaultSelected && o.defaultSelected)
        : it.value !== it.defaultValue);
    return typed || (main.contains(focus) && focus !== main) || String(getSelection()) !== "";
  };
  const look = async () => {
    due = null;
    if (document.hidden || isInUse()) {
      // For whoever wants to know why nothing moves.
      document.body.dataset.held = String(Number(document.body.dataset.held ?? 0) + 1);
      due = setTimeout(look, PAUSE);
      return;
    }
    last = Date.now();
    try {
      const answer = await fetch(location.href, { headers: { "fedgate-live": "1" }, redirect: "error" });
      if (answer.status === 401) {
        stop();
        location.reload();
        return;
      }
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const [now, next] = [document.getElementById("main"), page.getElementById("main")];
      if (next && !isInUse()) {
        const open = [...now.querySelectorAll("details")].map((it) => it.open);
        times(next);
        now.replaceWith(document.adoptNode(next));
        [...next.querySelectorAll("details")].forEach((it, n) => { it.open = open[n] ?? false; });
        document.body.dataset.seen = String(Number(document.body.dataset.seen ?? 0) + 1);
        if (!page.body.dataset.live) stop();
        again(page.body);
      }
    } catch {
      // The stream says when we can be reached again.
    }
  };
  // Where something is under way, looking again does not wait for a change.
  const again = (body) => {
    if (body.dataset.again && due === null) due = setTimeout(look, 1000 * Number(body.dataset.again));
  };
  const soon = () => {
    // Not all at once, who are told at once.
    if (due === null) due = setTimeout(look, Math.max(0, last + PAUSE - Date.now()) + Math.random() * 2000);
  };
  const start = () => {
    if (source) return;
    source = new EventSource(at);
    source.onmessage = ({ data }) => {
      if (known !== null && known !== data) soon();
      known = data;
    };
    // A stream that is refused is not asked for again by itself: the session may be over.
    source.onerror = () => {
      if (source?.readyState !== EventSource.CLOSED) return;
      stop();
      last = 0;
      soon();
      setTimeout(start, PAUSE);
    };
  };
  const stop = () => {
    source?.close();
    source = null;
  };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) stop();
    else { start(); soon(); }
  });
  addEventListener("pagehide", stop);
  start();
  again(document.body);
})();
