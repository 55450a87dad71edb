"use strict";

// Numbers carry their exact value; an empty value is undefined and stays last whichever way the table is sorted.
function sortKey(row, place) {
  const cell = row.cells[place];
  if (!cell) return null; // the one wide cell of an empty table
  const value = "value" in cell.dataset ? cell.dataset.value : cell.textContent.trim();
  return value === "" || value === "–" ? null : value;
}

function compare(a, b) {
  const numbers = [Number(a), Number(b)];
  if (!numbers.some(Number.isNaN)) return numbers[0] - numbers[1];
  return a.localeCompare(b, "en", { numeric: true });
}

function order(a, b, up) {
  if (a === null || b === null) return (a === null) - (b === null);
  return up ? compare(a, b) : compare(b, a);
}

// Which way the rows already are in order by this column; a column of equal values orders nothing.
function present(table, head) {
  const keys = Array.from(table.tBodies[0].rows, (row) => sortKey(row, head.cellIndex));
  const inOrder = (up) => keys.every((key, place) => place === 0 || order(keys[place - 1], key, up) <= 0);
  const [up, down] = [inOrder(true), inOrder(false)];
  return up === down ? "none" : up ? "ascending" : "descending";
}

// Says of each table by which column it stands in order: the one that the page names, or else the first that is.
function sayOrder(table) {
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.sort((a, b) => ("ordered" in b.dataset) - ("ordered" in a.dataset));
  const found = heads.find((head) => present(table, head) !== "none");
  if (found) found.setAttribute("aria-sort", present(table, found));
}
for (const table of document.querySelectorAll("table")) sayOrder(table);

function sortBy(button) {
  const head = button.closest("th");
  const table = head.closest("table");
  const up = head.getAttribute("aria-sort") !== "ascending";
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => ({ row, key: sortKey(row, head.cellIndex) }));
  rows.sort((a, b) => order(a.key, b.key, up));
  for (const other of head.parentNode.cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  body.append(...rows.map((item) => item.row));
  const said = document.getElementById("said");
  said.textContent = `${table.caption.textContent}: sorted by ${button.textContent}, ${up ? "ascending" : "descending"}`;
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-sort]");
  if (button) sortBy(button);
});

// A link into a fold opens it; not every browser does so by itself.
function reveal() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target.scrollIntoView();
}
window.addEventListener("hashchange", reveal);
reveal();

// Paper has no folds: everything opens for printing and closes again afterwards.
const opened = [];
window.addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details:not([open])")) {
    fold.open = true;
    opened.push(fold);
  }
});
window.addEventListener("afterprint", () => {
  for (const fold of opened.splice(0)) fold.open = false;
});
