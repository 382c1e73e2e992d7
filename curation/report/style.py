"""The look of the report: one style sheet for light and dark, wide and narrow, screen and paper."""

STYLE = """
:root { color-scheme: light dark; --page: #fbfbf9; --card: #ffffff; --ink: #1c2127; --soft: #59636e; --line: #d9dcd6;
  --accent: #b3401f; --calm: #b9c4cd; --good: #2f7d5b; --other: #8a6fb0; --fourth: #c79a2d; --on-heat: #ffffff; }
@media (prefers-color-scheme: dark) { :root { --page: #15181b; --card: #1f2327; --ink: #e8e9e6; --soft: #a3acb4;
  --line: #363c42; --accent: #f0835c; --calm: #4b565f; --good: #67c29b; --other: #b59fdb; --fourth: #dfb958;
  --on-heat: #15181b; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI",
  Roboto, "DejaVu Sans", sans-serif; }
main, header, footer { max-width: 78rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0; display: inline; }
h3 { font-size: 1rem; margin: 1.5rem 0 .5rem; }
p { margin: .5rem 0; max-width: 46rem; }
a { color: inherit; }
.muted, .note { color: var(--soft); }
.note { font-size: .875rem; }
nav ul { list-style: none; margin: 1rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .4rem; }
nav a { display: block; padding: .2rem .7rem; border: 1px solid var(--line); border-radius: 1rem; text-decoration: none;
  background: var(--card); font-size: .875rem; }
nav a:hover, nav a:focus-visible { border-color: var(--accent); }
nav b { font-weight: 600; color: var(--accent); }
section { margin: 1.25rem 0; }
section > details { border-top: 1px solid var(--line); padding-top: .9rem; }
summary { cursor: pointer; }
summary .count { color: var(--soft); margin-left: .5rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .75rem; margin: 1rem 0; }
.tile, .card { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
.tile { padding: .7rem .9rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.3; font-weight: 650; font-variant-numeric: tabular-nums; }
.tile span { color: var(--soft); font-size: .875rem; }
.tile.alert b { color: var(--accent); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(17.5rem, 100%), 1fr)); gap: .75rem;
  margin: 1rem 0; }
.cards.wide { grid-template-columns: repeat(auto-fill, minmax(min(24rem, 100%), 1fr)); }
.card { padding: .8rem; display: flex; flex-direction: column; gap: .5rem; min-width: 0; break-inside: avoid; }
.card p { margin: 0; font-size: .875rem; }
.card img { display: block; max-width: 100%; height: auto; border-radius: .25rem; background: var(--line);
  outline: 1px solid var(--line); }
.top { display: flex; gap: .8rem; align-items: flex-start; }
.top > div { min-width: 0; flex: 1; }
.top > img, .top > .gone { flex: none; }
.kv { color: var(--soft); font-size: .75rem; overflow-wrap: anywhere; }
.label { font-weight: 600; overflow-wrap: anywhere; }
.given .label { color: var(--accent); }
.suggested .label { color: var(--good); }
.probs { display: grid; grid-template-columns: fit-content(45%) minmax(2rem, 1fr) max-content; gap: .1rem .5rem;
  align-items: center; font-size: .8125rem; }
.probs .label { font-weight: 500; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.prob { width: 100%; height: .5rem; display: block; }
.strip { display: flex; gap: .5rem; }
.strip figure { margin: 0; flex: 0 1 4.5rem; min-width: 0; font-size: .75rem; line-height: 1.25; }
.strip figcaption { margin-top: .15rem; max-height: 2.5em; overflow: hidden; overflow-wrap: anywhere; }
.strip figcaption::before { content: "= "; color: var(--soft); }
.strip .differs figcaption::before { content: "≠ "; color: var(--accent); }
.pair { display: flex; gap: .8rem; flex-wrap: wrap; }
.keep { color: var(--good); font-size: .75rem; white-space: nowrap; }
.pair .given .label { color: var(--accent); }
.pair figure { margin: 0; max-width: 10rem; font-size: .8125rem; min-width: 5rem; }
.gone { display: flex; align-items: center; justify-content: center; width: 6rem; height: 6rem; background: var(--line);
  color: var(--soft); font-size: .75rem; border-radius: .25rem; }
.gone.small { width: 100%; height: 3.5rem; }
.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: .875rem; margin: .5rem 0; }
th, td { text-align: left; padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  overflow-wrap: anywhere; min-width: 4rem; }
th { color: var(--soft); font-weight: 500; }
table.figures td:not(:first-child), table.figures th:not(:first-child) { text-align: right;
  font-variant-numeric: tabular-nums; }
.path { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .92em; overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(34rem, 100%), 1fr)); gap: 1rem 2rem; }
.beside { display: flex; flex-wrap: wrap; gap: 0 1.5rem; align-items: flex-start; }
.beside > .scroll { flex: 0 1 auto; }
.beside td, .beside th { min-width: 0; padding-right: .8rem; }
.plot { display: block; margin: .5rem 0; font-family: inherit; }
.plot.wide { max-width: 100%; min-width: 27rem; height: auto; }
.plot text { font-size: 12px; fill: var(--soft); }
.plot text.value { fill: var(--ink); }
.plot text.on-heat { fill: var(--on-heat); }
.plot .heat, .plot .flag, .plot .s0, rect.given { fill: var(--accent); }
.plot .bar, .plot .s1, rect.other { fill: var(--calm); }
.plot .gain { fill: var(--good); }
.plot .loss { fill: var(--accent); }
.plot .open { fill: var(--calm); }
.plot .s2 { fill: var(--other); }
.plot .s3 { fill: var(--fourth); }
.plot .empty { fill: var(--card); stroke: var(--line); stroke-width: .5; }
.plot .none { fill: var(--line); fill-opacity: .5; }
.plot .grid { stroke: var(--line); }
.plot .axis { stroke: var(--soft); }
.plot .mark { stroke: var(--accent); stroke-dasharray: 3 3; }
.plot .curve { fill: none; stroke: var(--ink); stroke-width: 2; }
.plot [class^=line], .plot .by-lot { fill: none; stroke: var(--accent); stroke-width: 2; }
.plot .line1 { stroke: var(--good); }
.plot .line2 { stroke: var(--other); }
.plot .line3 { stroke: var(--fourth); }
.plot .by-lot { stroke: var(--soft); stroke-dasharray: 4 4; }
.plot .dot { fill: var(--accent); }
rect.track { fill: var(--line); }
rect.suggested { fill: var(--good); }
.key { display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .8125rem; color: var(--soft); }
.key svg.plot { display: inline-block; margin: 0; width: .8rem; height: .8rem; vertical-align: -.1rem;
  margin-right: .3rem; }
footer { padding-bottom: 3rem; }
@media (max-width: 40rem) { main, header, footer { padding: 0 .9rem; } header { padding-top: 1.2rem; }
  .tiles { grid-template-columns: repeat(2, 1fr); } .tile b { font-size: 1.25rem; } }
@media print { :root { --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb; --accent: #a3330f;
  --calm: #bbb; --good: #1f6546; --other: #6d4f99; --fourth: #8f6a10; --on-heat: #fff; } body { font-size: 10pt; }
  nav { display: none; } details::details-content { content-visibility: visible; block-size: auto; }
  .plot, .plot.wide { max-width: 100%; min-width: 0; height: auto; } .plots > div { break-inside: avoid; }
  h2, h3, summary { break-after: avoid; } .cards, .cards.wide { grid-template-columns: repeat(2, 1fr); }
  .card { padding: .5rem; gap: .3rem; } .card img { max-height: 6.5rem; width: auto; }
  .strip img { max-height: 2.5rem; }
  rect { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
