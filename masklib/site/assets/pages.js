// What pages need besides their tables: code that opens all at once, wide parts that the keyboard can reach, excerpts in search.
"use strict";

(() => {
  // Search shows excerpts, which it fetches page by page: a web server allows that, a folder does not.
  if (/^https?:$/.test(location.protocol) && typeof DOCUMENTATION_OPTIONS !== "undefined") {
    DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = true;
  }

  const wide = () => {
    for (const part of document.querySelectorAll(".mk-scroll, .highlight pre, div.output pre, pre")) {
      const scrolls = part.scrollWidth > part.clientWidth + 1 || part.scrollHeight > part.clientHeight + 1;
      part.toggleAttribute("data-scrolls", part.matches(".mk-scroll") && part.scrollWidth > part.clientWidth + 1);
      if (scrolls) {
        part.tabIndex = 0;
        if (part.matches(".mk-scroll")) {
          part.setAttribute("role", "region");
          part.setAttribute("aria-label", part.querySelector("caption")?.textContent.trim() || "wide table");
        }
      } else if (!part.hasAttribute("data-kept")) {
        part.removeAttribute("tabindex");
        part.removeAttribute("role");
        part.removeAttribute("aria-label");
      }
    }
  };

  const code = [...document.querySelectorAll("details.above-input")];
  if (code.length > 1) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "mk-unfold";
    const tell = (open) => {
      button.textContent = open ? "Hide all code" : "Show all code";
      button.setAttribute("aria-pressed", String(open));
    };
    tell(false);
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-pressed") !== "true";
      for (const part of code) part.open = open;
      tell(open);
    });
    (document.querySelector("details.mk-run") ?? document.querySelector("article h1"))?.after(button);
  }

  wide();
  window.addEventListener("resize", wide);
  window.addEventListener("load", wide);
  document.addEventListener("toggle", wide, true);
})();
