// Tables that sort, filter and page. They are whole without this script; it needs no other, and no server:
// long tables keep their rows in files that are read, as scripts, when they are first asked for.
"use strict";

(() => {
  const PAGE = 50; // rows
  const FEW = 8; // rows that need no filter
  const read = {}; // rows of long tables, by name, then by number of the file

  window.masklibRows = (name, index, rows) => {
    (read[name] ??= [])[index] = rows;
  };

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    element.append(...children); // strings become text, never markup
    return element;
  };

  const load = (file) =>
    new Promise((resolve, reject) => {
      const script = make("script", { src: file });
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${file} cannot be read`));
      document.head.append(script);
    });

  const textOf = (cell) => (typeof cell === "string" ? cell : (cell.text ?? cell.status ?? ""));
  const MARKS = { holds: "✓ ", refuted: "✗ ", untested: "? " };

  const contentOf = (cell, link) => {
    if (typeof cell === "object" && cell.status !== undefined) {
      const known = /^[a-z]+$/.test(cell.status) ? cell.status : "unknown";
      return make("span", { class: `mk-verdict mk-${known}` }, (MARKS[cell.status] ?? "") + cell.status);
    }
    const href = typeof cell === "object" ? cell.href : link;
    return href ? make("a", { href }, textOf(cell)) : textOf(cell);
  };

  const LONG = 40; // characters: such a cell is given room, others stay on a line
  const shape = (cell, link, isKey) =>
    make("td", { class: (textOf(cell).length > LONG ? "mk-say" : "mk-short") + (isKey ? " mk-keep" : "") }, contentOf(cell, link));

  // A row is {texts, element()}: the text of each cell, and the element that shows it.
  const fromElement = (tr) => ({ texts: [...tr.cells].map((cell) => cell.textContent.trim()), element: () => tr });
  const fromData = (linked, keys) => (cells) => {
    const link = linked ? cells[cells.length - 1] : "";
    const shown = linked ? cells.slice(0, -1) : cells;
    let tr = null;
    const element = () => (tr ??= make("tr", {}, ...shown.map((cell, column) => shape(cell, link, column < keys))));
    return { texts: shown.map(textOf), element };
  };

  const numeric = (text) => (text === "" ? NaN : Number(text.replace(/^[<>] /, "").replace(/^−/, "-")));
  const compare = (rows, column) => {
    const filled = rows.map((row) => row.texts[column]).filter((text) => text !== "" && text !== "NaN");
    if (filled.length && filled.every((text) => !Number.isNaN(numeric(text)))) {
      return (a, b) => numeric(a) - numeric(b);
    }
    const collator = new Intl.Collator("en", { numeric: true });
    return (a, b) => collator.compare(a, b);
  };

  class View {
    constructor(table) {
      this.table = table;
      this.body = table.tBodies[0];
      this.heads = [...table.tHead.rows[0].cells];
      this.rows = [...this.body.rows].map(fromElement);
      this.total = Number(table.dataset.total ?? this.rows.length);
      this.files = (table.dataset.files ?? "").split(" ").filter(Boolean);
      this.keys = Number(table.dataset.keys ?? 0); // columns that are kept in sight
      this.page = 0;
      this.sorted = null; // {column, down}
      this.chosen = new Map(); // value by column
      this.text = "";
      this.which = "";
      this.sortable();
      if (this.total >= FEW) this.tools();
      if (this.total > PAGE) this.pages();
      this.show();
    }

    async all() {
      if (!this.files.length) return;
      const files = this.files;
      this.files = [];
      this.tell("reading the rows …");
      await Promise.all(files.map(load));
      this.rows = read[this.table.dataset.rows].flat().map(fromData("linked" in this.table.dataset, this.keys));
    }

    async change(act) {
      try {
        await this.all();
        act();
        this.show();
      } catch (error) {
        this.tell(error.message);
      }
    }

    sortable() {
      this.heads.forEach((head, column) => {
        const button = make("button", { type: "button", class: "mk-sort" }, ...head.childNodes);
        head.append(button);
        button.addEventListener("click", () => {
          const down = this.sorted?.column === column && !this.sorted.down;
          this.change(() => {
            this.sorted = { column, down };
            this.page = 0;
          });
        });
      });
    }

    tools() {
      const title = this.table.caption?.textContent.trim() || "this table";
      const input = make("input", { type: "search", placeholder: "Filter rows", "aria-label": `Filter rows of ${title}` });
      input.addEventListener("input", () => this.change(() => this.filter(() => (this.text = input.value.trim().toLowerCase()))));
      this.bar = make("div", { class: "mk-tools" }, input);
      this.heads.forEach((head, column) => {
        if (head.dataset.choices) this.choice(head.textContent.trim(), JSON.parse(head.dataset.choices), column);
      });
      if (this.table.dataset.filter === "verdict") this.verdicts();
      this.count = make("output", { class: "mk-count", "aria-live": "polite" });
      this.bar.append(this.count);
      this.scroll().before(this.bar);
    }

    choice(name, values, column) {
      const options = ["", ...values].map((value, index) => make("option", { value }, index ? value || "(none)" : `${name}: all`));
      const select = make("select", { "aria-label": name }, ...options);
      select.addEventListener("change", () =>
        this.change(() =>
          this.filter(() => {
            if (select.selectedIndex) this.chosen.set(column, select.value);
            else this.chosen.delete(column);
          }),
        ),
      );
      this.bar.append(select);
    }

    verdicts() {
      const told = { "": "every verdict", refuted: "refuted", holds: "holds", untested: "untested", differs: "differs by version" };
      const options = Object.entries(told).map(([value, text]) => make("option", { value }, text));
      const select = make("select", { "aria-label": "Verdict on the newest Keras" }, ...options);
      select.addEventListener("change", () => this.change(() => this.filter(() => (this.which = select.value))));
      this.bar.append(select);
    }

    filter(act) {
      act();
      this.page = 0;
    }

    pages() {
      const step = (by) => () => this.change(() => (this.page += by));
      this.back = make("button", { type: "button" }, "Previous");
      this.forth = make("button", { type: "button" }, "Next");
      this.back.addEventListener("click", step(-1));
      this.forth.addEventListener("click", step(1));
      this.place = make("span", {});
      this.scroll().after(make("nav", { class: "mk-pages", "aria-label": "Pages of the table" }, this.back, this.place, this.forth));
    }

    fits(row) {
      for (const [column, value] of this.chosen) if (row.texts[column] !== value) return false;
      if (this.which) {
        const verdicts = row.texts.slice(1, -1).filter(Boolean).map((text) => text.replace(/^\S\s+/, ""));
        if (this.which === "differs" ? new Set(verdicts).size < 2 : row.texts[1].replace(/^\S\s+/, "") !== this.which) return false;
      }
      return !this.text || row.texts.some((text) => text.toLowerCase().includes(this.text));
    }

    order(rows) {
      if (!this.sorted) return rows;
      const { column, down } = this.sorted;
      const by = compare(rows, column);
      const empty = (row) => row.texts[column] === "" || row.texts[column] === "NaN";
      const filled = rows.filter((row) => !empty(row)).sort((a, b) => by(a.texts[column], b.texts[column]) * (down ? -1 : 1));
      return [...filled, ...rows.filter(empty)];
    }

    show() {
      const rows = this.order(this.rows.filter((row) => this.fits(row)));
      const found = this.files.length ? this.total : rows.length; // rows that were not read yet are all shown
      const last = Math.max(0, Math.ceil(found / PAGE) - 1);
      this.page = Math.min(Math.max(0, this.page), last);
      const shown = this.forth ? rows.slice(this.page * PAGE, (this.page + 1) * PAGE) : rows;
      this.body.replaceChildren(...shown.map((row) => row.element()));
      this.heads.forEach((head, column) => {
        const here = this.sorted?.column === column;
        head.setAttribute("aria-sort", here ? (this.sorted.down ? "descending" : "ascending") : "none");
      });
      this.keep();
      this.tell(found === this.total ? `${this.total} rows` : `${found} of ${this.total} rows`);
      if (!this.forth) return;
      this.place.textContent = found ? `${this.page * PAGE + 1}–${Math.min(found, (this.page + 1) * PAGE)} of ${found}` : "none";
      this.back.disabled = this.page === 0;
      this.forth.disabled = this.page === last;
    }

    // Keeps the first columns in sight, one beside the other, as long as most of the width is left for the others.
    keep() {
      let left = 0;
      for (const [column, head] of this.heads.slice(0, this.keys).entries()) {
        const fits = column === 0 || left + head.offsetWidth < this.scroll().clientWidth * 0.45;
        this.table.style.setProperty(`--mk-left-${column + 1}`, fits ? `${left}px` : "auto");
        left += head.offsetWidth;
      }
    }

    tell(text) {
      if (this.count) this.count.textContent = text;
    }

    scroll() {
      return this.table.closest(".mk-scroll") ?? this.table;
    }
  }

  const regular = (table) => {
    if (!table.tHead || table.tHead.rows.length !== 1 || table.tBodies.length !== 1 || "plain" in table.dataset) return false;
    const width = table.tHead.rows[0].cells.length;
    return [...table.tBodies[0].rows].every((row) => row.cells.length === width) && !table.querySelector("[colspan], [rowspan]");
  };

  const views = [];
  for (const table of document.querySelectorAll("table.mk-table")) if (regular(table)) views.push(new View(table));
  window.addEventListener("resize", () => views.forEach((view) => view.keep()));
})();
