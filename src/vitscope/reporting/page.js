"use strict";
// Nothing here is needed to read the page: it adds a theme switch, readings under the pointer,
// and one model at a time.
const root = document.documentElement;

// Light or dark, kept for the next visit where the browser allows it.
const button = document.getElementById("theme");
const systemDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (root.dataset.theme || (systemDark.matches ? "dark" : "light")) === "dark";
const nameButton = () => { button.textContent = isDark() ? "Light page" : "Dark page"; };
try { root.dataset.theme = localStorage.getItem("vitscope-theme") || ""; } catch { /* file:// */ }
if (!root.dataset.theme) delete root.dataset.theme;
button.hidden = false;
nameButton();
systemDark.addEventListener("change", nameButton);
button.addEventListener("click", () => {
  root.dataset.theme = isDark() ? "light" : "dark";
  try { localStorage.setItem("vitscope-theme", root.dataset.theme); } catch { /* file:// */ }
  nameButton();
});

// One model: point at its name, or press it to keep it.
const chips = [...document.querySelectorAll(".chip")];
let kept = "";
const light = (group) => {
  document.body.classList.toggle("muted", Boolean(group));
  for (const series of document.querySelectorAll(".series"))
    series.classList.toggle("lit", series.classList.contains(group || "-"));
};
const keep = (group) => {
  kept = kept === group ? "" : group;
  for (const chip of chips) chip.setAttribute("aria-pressed", String(chip.dataset.group === kept));
  light(kept);
};
for (const name of document.querySelectorAll(".chip, .legend li[data-group]")) {
  name.addEventListener("pointerenter", () => light(name.dataset.group));
  name.addEventListener("pointerleave", () => light(kept));
  name.addEventListener("click", () => keep(name.dataset.group));
}
addEventListener("keydown", (event) => { if (event.key === "Escape") { if (kept) keep(kept); hide(); } });

// Readings. Without this script the browser shows the same text as a title.
const tip = document.getElementById("tip");
const hide = () => { tip.hidden = true; for (const line of document.querySelectorAll(".cursor")) line.remove(); };
const show = (rect, event) => {
  const [head, ...lines] = rect.dataset.reading.split("\n");
  const title = document.createElement("b");
  title.textContent = head;
  tip.replaceChildren(title, ...lines.map((line) => {
    const row = document.createElement("div");
    row.append(...line.split("\t").map((text) => {
      const span = document.createElement("span");
      span.textContent = text;
      return span;
    }));
    return row;
  }));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = event.clientX + 18 + box.width > innerWidth ? event.clientX - box.width - 18 : event.clientX + 18;
  tip.style.left = `${Math.max(8, left)}px`;
  tip.style.top = `${Math.max(8, Math.min(event.clientY - box.height / 2, innerHeight - box.height - 8))}px`;
};
const cursor = (rect) => {
  for (const line of document.querySelectorAll(".cursor")) line.remove();
  const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
  const area = rect.parentNode.dataset;
  for (const [name, value] of [["x1", rect.dataset.x], ["x2", rect.dataset.x], ["y1", area.top], ["y2", area.bottom]])
    line.setAttribute(name, value);
  line.setAttribute("class", "cursor");
  line.setAttribute("style", "stroke:var(--quiet);stroke-width:.7;pointer-events:none");
  rect.parentNode.before(line);
};
for (const rect of document.querySelectorAll(".hits rect")) {
  rect.dataset.reading = rect.querySelector("title").textContent;
  rect.querySelector("title").remove();
  rect.addEventListener("pointerenter", () => cursor(rect));
  rect.addEventListener("pointermove", (event) => show(rect, event));
  rect.addEventListener("pointerleave", hide);
}
addEventListener("scroll", hide, { passive: true });

// On paper everything is open.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const each of opened) each.open = true;
});
addEventListener("afterprint", () => { for (const each of opened) each.open = false; });
