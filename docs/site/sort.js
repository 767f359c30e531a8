// A click on a column's head sorts by it, a second click the other way round; the filter keeps rows with all its words.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const key = (row, column) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  heads.forEach((head, column) => head.addEventListener("click", () => {
    const numeric = [...body.rows].every(row => !isNaN(key(row, column)));
    const down = head.ariaSort ? head.ariaSort === "ascending" : numeric;
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.ariaSort = down ? "descending" : "ascending";
    const compare = (a, b) => numeric ? a - b : a.localeCompare(b);
    const missing = text => text === "" || text === "–";
    [...body.rows].sort((one, other) => {
      const a = key(one, column), b = key(other, column);
      return missing(a) - missing(b) || (down ? -1 : 1) * compare(a, b); // without a value: last, either way
    }).forEach(row => body.append(row));
  }));
}
for (const input of document.querySelectorAll("input.filter")) {
  const table = input.closest(".board").querySelector("table");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of table.tBodies[0].rows) {
      row.hidden = !words.every(word => row.textContent.toLowerCase().includes(word));
    }
  });
}
