// Type-ahead over class names: the same rules as curation.review.search_labels (tests compare the two).

// Python's casefold, but for letters that nobody types.
const plainText = (text) =>
  text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase().replaceAll("ß", "ss").replaceAll("ς", "σ");

// Ready for searching: [[label, shown, plain]].
const searchable = (labels) => labels.map(([label, shown]) => [label, shown ?? label, plainText(label)]);

// The best `limit` of them: the exact name, then beginnings, then beginnings of a word, then anywhere.
function searchLabels(entries, text, limit) {
  const wanted = plainText(text.trim());
  if (!wanted) return entries.slice(0, limit);
  const ranks = [[], [], [], []];
  for (const entry of entries) {
    const at = entry[2].indexOf(wanted);
    if (at < 0) continue;
    if (at === 0) ranks[entry[2].length === wanted.length ? 0 : 1].push(entry);
    else ranks[startsWord(entry[2], wanted, at) ? 2 : 3].push(entry);
  }
  return ranks.flat().slice(0, limit);
}

function startsWord(plain, wanted, at) {
  for (; at >= 0; at = plain.indexOf(wanted, at + 1)) if (at === 0 || !/[\p{L}\p{N}]/u.test(plain[at - 1])) return true;
  return false;
}
