"use strict";

function button(words, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.append(...words);
  made.addEventListener("click", action);
  return made;
}

// Light or dark: as the system has it, until the reader says otherwise; kept where the page may keep something.
const root = document.documentElement, kept = "minilq-theme";
const dark = () => (root.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
const theme = button([""], () => {
  root.dataset.theme = dark() ? "light" : "dark";
  try { localStorage.setItem(kept, root.dataset.theme); } catch { /* then for this visit */ }
  name();
});
const name = () => { theme.textContent = dark() ? "light page" : "dark page"; };
try {
  const choice = localStorage.getItem(kept);
  if (choice === "light" || choice === "dark") root.dataset.theme = choice;
} catch { /* nothing was kept */ }
theme.className = "theme";
document.querySelector("header").append(theme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", name);
name();

// A click on a head sorts by its column, a second click the other way round; empty cells stay at the end.
function compare(a, b, direction) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const numbers = !Number.isNaN(Number(a)) && !Number.isNaN(Number(b));
  return direction * (numbers ? Math.sign(a - b) : a < b ? -1 : a > b ? 1 : 0);
}

for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    head.append(button([...head.childNodes], () => {
      const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", direction === 1 ? "ascending" : "descending");
      const value = row => row.cells[column].dataset.value;
      const body = table.tBodies[0];
      body.append(...[...body.rows].sort((a, b) => compare(value(a), value(b), direction)));
    }));
  });
}

// What the keyboard comes to in a table is not left behind its head, its first column or an edge.
for (const region of document.querySelectorAll(".scroll")) {
  region.addEventListener("focusin", ({ target }) => {
    const cell = target.closest("th, td");
    if (!cell || !target.matches(":focus-visible")) return;          // nothing moves under a pointer
    const { tHead } = cell.closest("table"), first = cell.parentElement.cells[0];
    const [top, left] = [tHead.contains(cell) ? 0 : tHead.offsetHeight, cell === first ? 0 : first.offsetWidth];
    region.style.scrollPadding = `${top + 6}px 6px 6px ${left + 6}px`;
    target.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
}

// Of a long table, the rows that hold every word of a box above it.
const few = 12;
for (const table of document.querySelectorAll("table.sortable")) {
  const rows = [...table.tBodies[0].rows];
  if (rows.length <= few) continue;
  const box = document.createElement("input"), count = document.createElement("span"), line = document.createElement("p");
  box.type = "search";
  box.placeholder = "words that a row must hold";
  box.setAttribute("aria-label", `filter, ${table.parentElement.getAttribute("aria-label")}`);
  count.className = "note";
  count.setAttribute("role", "status");
  box.addEventListener("input", () => {
    const words = box.value.toLowerCase().split(/\s+/);
    for (const row of rows) row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
    const left = rows.filter(row => !row.hidden).length;
    count.textContent = left < rows.length ? `${left} of ${rows.length} rows` : "";
  });
  line.className = "filter";
  line.append(box, count);
  table.parentElement.before(line);
}

// A link to what is folded opens it.
function unfold() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target?.tagName === "DETAILS") target.open = true;
}
addEventListener("hashchange", unfold);
addEventListener("click", event => {             // a second time too, when the address stays as it is
  if (location.hash && event.target.closest?.("a")?.hash === location.hash) unfold();
});
unfold();

// A button before each command; where the page may not write to the clipboard, the command is selected instead.
for (const code of document.querySelectorAll("td.command code")) {
  const copy = button(["copy"], async () => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      copy.textContent = "copied";
    } catch {
      getSelection().selectAllChildren(code);
      copy.textContent = "selected";
    }
    setTimeout(() => { copy.textContent = "copy"; }, 1500);
  });
  code.before(copy);
}
