// Searches within the page, by the index that hooks.py made: from a disk neither a worker nor a request works.
"use strict";

{
  const MOST = 40;
  const BEFORE = 60;
  const SHOWN = 220;
  const field = document.getElementById("mkdocs-search-query");
  const results = document.getElementById("mkdocs-search-results");
  const pages = new Map(searchIndex.docs.filter((entry) => !entry.location.includes("#")).map((entry) => [entry.location, entry.title]));
  const sections = searchIndex.docs.filter((entry) => entry.location.includes("#"));

  // The sections that have every word, those with more of them in their title first.
  function find(words) {
    const found = [];
    for (const section of sections) {
      const title = section.title.toLowerCase();
      const text = section.text.toLowerCase();
      if (words.every((word) => title.includes(word) || text.includes(word))) {
        found.push({ section, inTitle: words.filter((word) => title.includes(word)).length });
      }
    }
    return found.sort((one, other) => other.inTitle - one.inTitle).map(({ section }) => section);
  }

  function element(name, text, ...children) {
    const made = document.createElement(name);
    made.textContent = text;
    made.append(...children);
    return made;
  }

  function shown(section, word) {
    const page = pages.get(section.location.split("#")[0]);
    const link = element("a", page === section.title ? page : `${page}: ${section.title}`);
    link.href = `${base_url.replace(/\/$/, "")}/${section.location}`;
    const start = Math.max(0, section.text.toLowerCase().indexOf(word) - BEFORE);
    const piece = `${start ? "…" : ""}${section.text.slice(start, start + SHOWN)}…`;
    return element("article", "", element("h3", "", link), element("p", piece));
  }

  function search() {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const found = words.length ? find(words).slice(0, MOST) : [];
    const nothing = words.length && !found.length ? [element("p", results.dataset.noResultsText)] : [];
    results.replaceChildren(...found.map((section) => shown(section, words[0])), ...nothing);
  }

  field.addEventListener("input", search);
  field.form.addEventListener("submit", (event) => event.preventDefault());
}
