// Puts the parts of the page that changed in their places, keeps the focus where it is, and says when the figures are old.
"use strict";
(() => {
  const at = id => document.getElementById(id);
  const pause = at("pause");
  let events = null;

  const say = sentence => { if (at("link").textContent !== sentence) at("link").textContent = sentence; };

  // A list or table that somebody stands in is put back in the same state: focus by id, or by its place among what can have it.
  const put = (id, html) => {
    const place = at(id);
    if (!place) return;
    if (id === "news") { // read aloud: only when it says something new
      const box = document.createElement("div");
      box.innerHTML = html;
      if (place.textContent !== box.textContent) place.textContent = box.textContent;
      return;
    }
    const targets = () => [...place.querySelectorAll("a, [tabindex]")];
    const focused = targets().indexOf(document.activeElement);
    const named = document.activeElement && document.activeElement.id;
    const scrolled = [...place.querySelectorAll(".wide")].map(box => box.scrollLeft);
    place.innerHTML = html;
    place.querySelectorAll(".wide").forEach((box, index) => { box.scrollLeft = scrolled[index] || 0; });
    if (focused < 0) return;
    const again = (named && at(named)) || targets()[focused];
    if (again) again.focus({ preventScroll: true });
  };

  const listen = () => {
    events = new EventSource("/events");
    events.addEventListener("parts", event => {
      say("");
      for (const [id, html] of Object.entries(JSON.parse(event.data))) put(id, html);
      document.documentElement.dataset.updates = 1 + Number(document.documentElement.dataset.updates || 0);
    });
    events.addEventListener("silent", () => say("The server behind this page does not answer: the figures are old."));
    events.addEventListener("refused", () => { stop(); say("The key is not valid any more: load this page anew."); });
    events.onerror = () => say("The connection is lost: the figures are old. Trying again…");
  };

  const stop = () => { if (events) events.close(); events = null; };

  pause.hidden = false;
  pause.addEventListener("click", () => {
    const paused = pause.getAttribute("aria-pressed") !== "true";
    pause.setAttribute("aria-pressed", String(paused));
    if (paused) { stop(); say("Updates are paused."); } else { say(""); listen(); }
  });
  listen();
})();
