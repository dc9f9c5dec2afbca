// Three comforts; the page is complete without them.
(() => {
  // Filter the contents by words, paths and methods.
  const filter = document.getElementById("filter");
  const sections = [...document.querySelectorAll("nav.side section")];
  const none = document.querySelector("nav.side .none");
  filter.hidden = false;
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const section of sections) {
      const items = [...section.querySelectorAll("li")];
      for (const item of items) {
        const link = item.querySelector("a");
        const text = `${section.querySelector("h2").textContent} ${link.textContent} ${link.dataset.path || ""}`.toLowerCase();
        item.hidden = !words.every((word) => text.includes(word));
      }
      const left = items.filter((item) => !item.hidden).length;
      section.hidden = words.length > 0 && left === 0;
      shown += left;
    }
    none.hidden = shown > 0;
  });

  // Copy an example.
  for (const figure of document.querySelectorAll("figure.code")) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(figure.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
    if (navigator.clipboard) figure.querySelector("figcaption").append(button);
  }

  const side = document.querySelector("nav.side");
  const follow = (link) => {
    const top = link.offsetTop, bottom = top + link.offsetHeight;
    if (top < side.scrollTop) side.scrollTop = top - 40;
    else if (bottom > side.scrollTop + side.clientHeight) side.scrollTop = bottom - side.clientHeight + 40;
  };

  // Mark where the reader is, and close the contents of a small screen after a choice.
  const links = new Map([...document.querySelectorAll("nav.side li a")].map((link) => [link.hash.slice(1), link]));
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      const link = links.get(entry.target.id);
      if (link) { link.setAttribute("aria-current", "true"); follow(link); }
    }
  }, { rootMargin: "-15% 0px -75% 0px" });
  for (const id of links.keys()) { const place = document.getElementById(id); if (place) seen.observe(place); }
  side.addEventListener("click", (event) => {
    if (event.target.closest("a")) document.getElementById("menu").checked = false;
  });

  // Open what an address leads into.
  const open = () => document.getElementById(location.hash.slice(1))?.closest("details")?.setAttribute("open", "");
  addEventListener("hashchange", open);
  open();
})();
