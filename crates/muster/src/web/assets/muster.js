// Keeps the page fresh and signs plans. Everything that is shown is drawn by the server; this file only puts new
// sections in place (keeping open details, focus and selected text), counts seconds, and sends approvals.
"use strict";
(() => {
  const STALE_MS = 60000;
  const byId = (id) => document.getElementById(id);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];

  // ---- sections -------------------------------------------------------------------------------------------------
  const held = new Map(); // sections that wait because text in them is selected
  const said = new Map(); // what to show beside the buttons of a run

  function selectingIn(box) {
    const s = document.getSelection();
    return s && !s.isCollapsed && (box.contains(s.anchorNode) || box.contains(s.focusNode));
  }

  function put(id, html) {
    const box = byId(id);
    if (!box) return;
    if (id !== "header" && selectingIn(box)) {
      held.set(id, html);
      return;
    }
    held.delete(id);
    const open = new Map(all("details[data-key]", box).map((d) => [d.dataset.key, d.open]));
    const active = box.contains(document.activeElement) ? document.activeElement : null;
    const activeKey = active && active.tagName === "SUMMARY" ? active.parentElement.dataset.key : null;
    const activeId = active ? active.id : "";
    box.innerHTML = html;
    for (const d of all("details[data-key]", box)) {
      if (open.has(d.dataset.key)) d.open = open.get(d.dataset.key);
      if (activeKey && d.dataset.key === activeKey) d.querySelector("summary").focus({ preventScroll: true });
    }
    if (activeId && byId(activeId)) byId(activeId).focus({ preventScroll: true });
    for (const run of said.keys()) show(run);
    if (id === "header") head();
    tick();
  }

  document.addEventListener("selectionchange", () => {
    for (const [id, html] of [...held]) put(id, html);
  });

  // ---- clock ----------------------------------------------------------------------------------------------------
  let skew = 0; // this machine's clock minus the server's
  let version = null;
  let word = null;

  function head() {
    const bar = document.querySelector("#header [data-now]");
    if (!bar) return;
    skew = Date.now() - Date.parse(bar.dataset.now);
    if (version !== null && version !== bar.dataset.version) location.reload(); // a new Muster has a new page
    version = bar.dataset.version;
    document.title = bar.dataset.word + " · Muster";
    if (word !== null && word !== bar.dataset.word) byId("announce").textContent = "Overall: " + bar.dataset.word;
    word = bar.dataset.word;
  }

  function human(ms) {
    const s = Math.max(0, Math.floor(ms / 1000));
    if (s < 60) return s + "s";
    if (s < 3600) return Math.floor(s / 60) + "m " + (s % 60) + "s";
    if (s < 86400) return Math.floor(s / 3600) + "h " + Math.floor((s % 3600) / 60) + "m";
    return Math.floor(s / 86400) + "d " + Math.floor((s % 86400) / 3600) + "h";
  }

  function tick() {
    const now = Date.now() - skew;
    for (const t of all("time[data-ago]")) t.dataset.rel = human(now - Date.parse(t.dateTime)) + " ago";
    for (const t of all("time[data-until]")) {
      const left = Date.parse(t.dateTime) - now;
      t.dataset.rel = left > 0 ? "in " + human(left) : "expired";
    }
    const pass = document.querySelector("#pass time");
    document.body.classList.toggle("stale", !pass || now - Date.parse(pass.dateTime) > STALE_MS);
  }

  // ---- events ---------------------------------------------------------------------------------------------------
  function listen() {
    const events = new EventSource("/api/v1/events");
    events.onopen = () => { document.body.dataset.live = "live"; };
    events.onmessage = (e) => {
      document.body.dataset.live = "live";
      const sections = JSON.parse(e.data).sections || {};
      for (const [id, html] of Object.entries(sections)) put(id, html);
    };
    events.onerror = () => {
      document.body.dataset.live = "lost";
      // The browser tries again by itself, except after an answer that is an error.
      if (events.readyState === EventSource.CLOSED) setTimeout(listen, 3000);
    };
  }

  // ---- signing --------------------------------------------------------------------------------------------------
  const dialog = byId("sign");
  let asked = null; // {run, verb}

  function show(run) {
    const box = all("[data-said]").find((o) => o.dataset.said === run);
    if (!box) return;
    const { text, bad } = said.get(run);
    box.textContent = text;
    box.classList.toggle("bad", bad);
  }

  function say(run, text, bad) {
    said.set(run, { text, bad });
    show(run);
  }

  function ask(run, verb, what) {
    asked = { run, verb };
    const approve = verb === "approve";
    byId("sign-title").textContent = approve ? "Approve this plan?" : "Reject this plan?";
    byId("sign-what").textContent = what;
    byId("sign-token").value = "";
    const known = sessionStorage.getItem("muster.token") !== null;
    byId("sign-token-row").hidden = known;
    byId("sign-token").required = !known;
    byId("sign-forget").hidden = !known;
    byId("sign-why").value = "";
    byId("sign-why").required = !approve;
    byId("sign-why-label").textContent = approve ? "Why (optional)" : "Why";
    byId("sign-go").textContent = approve ? "Approve" : "Reject";
    if (!dialog.open) dialog.showModal();
    const first = known ? "sign-go" : "sign-token";
    byId(approve || first !== "sign-go" ? first : "sign-why").focus();
  }

  function forget() {
    sessionStorage.removeItem("muster.token");
  }

  async function send(run, verb, why) {
    const buttons = () => all("button[data-run]").filter((b) => b.dataset.run === run);
    for (const b of buttons()) b.disabled = true;
    say(run, "Sending…", false);
    try {
      const answer = await fetch("/api/v1/runs/" + encodeURIComponent(run) + "/" + verb, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Muster-Token": sessionStorage.getItem("muster.token") || "" },
        body: JSON.stringify({ why }),
      });
      if (answer.ok) {
        const body = await answer.json().catch(() => ({}));
        const held = body.refused ? "It does not start: " + body.refused.why + ". " + body.refused.remedy : body.waiting ? "It waits: " + body.waiting + "." : "";
        say(run, (verb === "approve" ? "Approved. " : "Rejected. ") + held, Boolean(body.refused));
        return;
      }
      // A refused token is asked for again.
      if (answer.status === 401) sessionStorage.removeItem("muster.token");
      const body = await answer.json().catch(() => ({}));
      say(run, [body.error || "Muster answered " + answer.status + ".", body.remedy].filter(Boolean).join(" "), true);
    } catch {
      say(run, "Muster does not answer. Nothing is known to have been signed; look at the timeline before trying again.", true);
    }
    for (const b of buttons()) b.disabled = false;
  }

  document.addEventListener("click", (e) => {
    const button = e.target.closest("button[data-do]");
    if (button) ask(button.dataset.run, button.dataset.do, button.dataset.what);
  });
  byId("sign-cancel").addEventListener("click", () => dialog.close());
  byId("sign-forget").addEventListener("click", () => { forget(); ask(asked.run, asked.verb, byId("sign-what").textContent); });
  byId("sign-form").addEventListener("submit", (e) => {
    e.preventDefault();
    const token = byId("sign-token").value.trim();
    if (token !== "") sessionStorage.setItem("muster.token", token);
    dialog.close();
    send(asked.run, asked.verb, byId("sign-why").value.trim());
  });

  head();
  tick();
  setInterval(tick, 1000);
  listen();
})();
