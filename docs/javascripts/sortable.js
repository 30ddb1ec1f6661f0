// Tables of three rows or more are sorted by a click on a heading, or Enter there: largest first, then smallest first,
// then as they were. A cell counts as the first number in it; one without a number stays last.
(function () {
  "use strict";

  function number(cell) {
    const found = cell.textContent.replace("−", "-").match(/-?\d+(\.\d+)?(e[-+]?\d+)?/i);
    return found ? parseFloat(found[0]) : null;
  }

  function order(column, descending) {
    return (a, b) => {
      const cells = [a.cells[column], b.cells[column]];
      const values = cells.map(number);
      if (values[0] === null && values[1] === null) {
        const way = descending ? -1 : 1;
        return way * cells[0].textContent.trim().localeCompare(cells[1].textContent.trim());
      }
      if (values[0] === null) return 1;
      if (values[1] === null) return -1;
      return descending ? values[1] - values[0] : values[0] - values[1];
    };
  }

  function byWords(rows, column) {
    return rows.filter((row) => number(row.cells[column]) !== null).length * 2 < rows.length;
  }

  function sortable(table) {
    const body = table.tBodies[0];
    if (!table.tHead || !body || body.rows.length < 3 || table.dataset.sortable) return;
    table.dataset.sortable = "yes";
    const written = Array.from(body.rows);
    Array.from(table.tHead.rows[0].cells).forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...heading.childNodes);
      heading.append(button);
      heading.setAttribute("aria-sort", "none");
      const first = byWords(written, column) ? "ascending" : "descending";
      const second = first === "ascending" ? "descending" : "ascending";
      const next = { none: first, [first]: second, [second]: "none" };
      button.addEventListener("click", () => {
        const state = next[heading.getAttribute("aria-sort")];
        table.querySelectorAll("th[aria-sort]").forEach((each) => each.setAttribute("aria-sort", "none"));
        heading.setAttribute("aria-sort", state);
        const rows = state === "none" ? written : written.slice().sort(order(column, state === "descending"));
        body.append(...rows);
      });
    });
  }

  function all() {
    document.querySelectorAll("article table").forEach(sortable);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", all);
  else all();
})();
