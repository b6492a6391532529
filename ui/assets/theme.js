// Light or dark: what was chosen in this browser, or else what the system has. It runs before anything is drawn.
{
  const system = matchMedia('(prefers-color-scheme: dark)'), {dataset} = document.documentElement;
  let chosen;
  try { chosen = localStorage.theme; } catch { /* forbidden: then it is forgotten with the page */ }
  const show = () => {
    dataset.theme = chosen || (system.matches ? 'dark' : 'light');
    for (const b of document.querySelectorAll('#theme button')) b.ariaPressed = b.value === dataset.theme;
  };
  show();
  system.onchange = show;
  addEventListener('DOMContentLoaded', show);
  addEventListener('click', e => {
    if (e.target.parentNode?.id !== 'theme') return;
    chosen = e.target.value;
    show();
    try { localStorage.theme = chosen; } catch { /* as above */ }
  });
}
