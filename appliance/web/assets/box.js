// Makes the page live. Without it the page says the same, as of when it was loaded.
"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const setText = (node, text) => { if (node && node.textContent !== text) node.textContent = text; };
  let revision = null, latest = null, known = new Map();

  function showPull(item, pull) {
    item.className = `${pull.source} ${pull.state}`;
    const fields = { model: pull.model, client_ip: pull.client_ip, ...pull.shown };
    for (const node of item.querySelectorAll("[data-field]")) setText(node, fields[node.dataset.field]);
    const bar = item.querySelector("progress");
    bar.value = pull.progress_percent;
    bar.setAttribute("aria-label", `progress of ${pull.model}`);
  }

  function showPulls(list, pulls) {
    const before = new Map([...list.children].map((item) => [item.dataset.id, item]));
    pulls.forEach((pull, place) => {
      let item = before.get(String(pull.id));
      before.delete(String(pull.id));
      if (!item) {
        item = byId("pull").content.firstElementChild.cloneNode(true);
        item.dataset.id = pull.id;
      }
      showPull(item, pull);
      if (list.children[place] !== item) list.insertBefore(item, list.children[place] || null);
    });
    for (const item of before.values()) item.remove();
  }

  function tell(pulls, recent) {
    const words = [];
    for (const pull of pulls) if (!known.has(pull.id)) words.push(`${pull.client_ip} pulls ${pull.model}`);
    for (const pull of recent) if (known.get(pull.id) === "active") words.push(`${pull.model} to ${pull.client_ip}: ${pull.state}`);
    const isFirst = revision === null;
    known = new Map([...pulls.map((pull) => [pull.id, "active"]), ...recent.map((pull) => [pull.id, pull.state])]);
    if (words.length && !isFirst) setText(byId("told"), words.join(". "));
  }

  function showChecks(checks) {
    const list = byId("checks");
    if (list.querySelectorAll("[data-check]").length !== checks.length) return refresh();
    for (const check of checks) {
      const item = list.querySelector(`[data-check="${CSS.escape(check.name)}"]`);
      if (!item) return refresh();
      item.className = check.ok ? "ok" : "bad";
      setText(item.querySelector("span"), check.word);
    }
  }

  function showBackground(state) {
    const shown = byId("background").dataset;
    if (shown.paused !== String(state.paused) || shown.count !== String(state.prefetches.length)) return refresh();
    for (const each of state.prefetches) {
      const item = document.querySelector(`[data-prefetch="${CSS.escape(each.model)}"]`);
      if (!item) return refresh();
      setText(item.querySelector(".to"), each.how);
      item.querySelector("progress").value = each.percent;
    }
  }

  function show(state) {
    latest = state.revision;
    const status = byId("status");
    if (status.textContent !== state.status) refresh();
    status.className = `status ${state.status}`;
    setText(status, state.status);
    for (const node of document.querySelectorAll("path[data-trace]")) node.setAttribute("d", state.trace[node.dataset.trace]);
    setText(document.querySelector("span[data-trace]"), state.trace.top);
    for (const node of document.querySelectorAll("[data-live]")) setText(node, state.shown[node.dataset.live]);
    tell(state.sessions, state.recent);
    showPulls(byId("pulls"), state.sessions);
    showPulls(byId("recent"), state.recent);
    byId("idle").hidden = state.sessions.length > 0;
    byId("lately").hidden = !state.recent.length;
    document.title = state.sessions.length ? `(${state.sessions.length}) Ollama LAN Appliance` : "Ollama LAN Appliance";
    showChecks(state.checks);
    showBackground(state);
    if (revision !== null && (revision !== state.revision || Date.now() - refreshedAt > 60000)) refresh();
    revision ??= state.revision;
  }

  // What is held, the graphs and the checks are the server's own words: they are asked for anew.
  let isRefreshing = false, isStale = false, refreshedAt = Date.now();
  async function refresh() {
    isStale = isRefreshing;
    if (isRefreshing) return;
    isRefreshing = true;
    const wanted = latest;
    try {
      const answer = await fetch("/", { headers: { Accept: "text/html" } });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const id of ["held", "history", "health", "background", "filling"]) {
        const now = byId(id), then = fresh.getElementById(id);
        if (!now || !then || now.contains(document.activeElement)) continue;
        const open = new Set([...now.querySelectorAll("details[open] > summary")].map((each) => each.textContent));
        for (const each of then.querySelectorAll("summary")) if (open.has(each.textContent)) each.parentElement.open = true;
        now.replaceWith(then);
      }
      revision = wanted;
      refreshedAt = Date.now();
    } catch { /* The next event tries again. */ }
    setTimeout(() => {
      isRefreshing = false;
      if (isStale) refresh();
    }, 2000);
  }

  function listen() {
    const pulse = byId("pulse"), source = new EventSource("/api/events");
    pulse.hidden = false;
    const say = (word) => { pulse.className = `pulse ${word}`; setText(pulse, word); };
    say("connecting");
    source.addEventListener("state", (event) => { say("live"); show(JSON.parse(event.data)); });
    source.addEventListener("error", () => {
      say("reconnecting");
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 10000);
    });
    addEventListener("pagehide", () => source.close());
  }

  async function check(event) {
    event.preventDefault();
    const link = event.currentTarget, verdict = byId("verdict");
    setText(verdict, "Looking…");
    verdict.className = "";
    try {
      const answer = await fetch(link.href, { cache: "no-store", credentials: "omit", headers: { Accept: "application/json" }, signal: AbortSignal.timeout(8000) });
      const box = await answer.json();
      const isThis = box.ca_fingerprint === link.dataset.fingerprint;
      verdict.className = isThis ? "ok" : "bad";
      setText(verdict, isThis ? "Yes: this machine finds this box." : "This machine finds another box, not this one.");
    } catch {
      verdict.className = "bad";
      setText(verdict, "No: from this browser the registry's name does not lead to this box.");
    }
  }

  function offerCopies() {
    if (!navigator.clipboard && !document.execCommand) return;
    for (const block of document.querySelectorAll("pre")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.addEventListener("click", () => copy(block.querySelector("code"), button));
      const frame = document.createElement("div");
      frame.className = "lines";
      block.replaceWith(frame);
      frame.append(block, button);
    }
  }

  async function copy(code, button) {
    try {
      if (navigator.clipboard) await navigator.clipboard.writeText(code.textContent);
      else {
        getSelection().selectAllChildren(code);
        document.execCommand("copy");
      }
      button.textContent = "Copied";
    } catch { button.textContent = "Select it, and copy"; }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  // A link into a closed part opens it.
  function openTarget() {
    const target = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
    for (let node = target; node; node = node.parentElement) if (node.tagName === "DETAILS") node.open = true;
  }

  byId("try").addEventListener("click", check);
  addEventListener("hashchange", openTarget);
  openTarget();
  offerCopies();
  listen();
})();
