// The part of Markdown that the READMEs use: headings, paragraphs, lists, code, links, emphasis. The rest stays text.

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|(?<![\w*])\*([^*\s][^*]*)\*|\[([^\]]+)\]\(([^)\s]+)\)/g;

/** Text and elements of one line. `place`: target of a link -> address, or "" where it leads nowhere from here. */
function inline(text, place) {
  const found = [];
  let end = 0;
  for (const match of text.matchAll(INLINE)) {
    const [whole, code, strong, soft, name, target] = match;
    found.push(text.slice(end, match.index));
    if (code) found.push(h("code", {}, code));
    else if (strong) found.push(h("strong", {}, inline(strong, place)));
    else if (soft) found.push(h("em", {}, inline(soft, place)));
    else found.push(place(target) ? h("a", {href: place(target), rel: "noreferrer"}, inline(name, place)) : inline(name, place));
    end = match.index + whole.length;
  }
  return [...found, text.slice(end)];
}

/** Elements of a text; what is indented below a list item is part of the item. */
function markdown(text, place) {
  const lines = text.split("\n"), blocks = [];
  const take = test => { const taken = []; while (lines.length && test(lines[0])) taken.push(lines.shift()); return taken; };
  while (lines.length) {
    const line = lines[0];
    if (!line.trim()) lines.shift();
    else if (line.startsWith("```")) {
      lines.shift();
      blocks.push(h("pre", {tabindex: 0}, take(each => !each.startsWith("```")).join("\n")));
      lines.shift();
    } else if (/^#+ /.test(line)) blocks.push(h("h4", {}, inline(lines.shift().replace(/^#+ /, ""), place)));
    else if (line.startsWith("- ")) {
      const items = [];
      while (lines[0]?.startsWith("- ")) {
        const item = [lines.shift().slice(2), ...take(each => !each.trim() || each.startsWith("  ")).map(each => each.slice(2))];
        items.push(h("li", {}, markdown(item.join("\n"), place)));
      }
      blocks.push(h("ul", {}, items));
    } else blocks.push(h("p", {}, inline([lines.shift(), ...take(each => each.trim() && !/^(- |```|#+ )/.test(each))].join(" "), place)));
  }
  return blocks;
}
