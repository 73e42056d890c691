/** The script of the review page: a key presses the button, opens the details or follows the link that names it in `data-key`. */
export const keys = `
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest('input, textarea, select')) {
    if (event.key === 'Escape') event.target.blur();
    return;
  }
  const target = document.querySelector('[data-key="' + CSS.escape(event.key) + '"]');
  if (!target) return;
  event.preventDefault();
  if (target.tagName === 'DETAILS') {
    target.open = true;
    target.querySelector('textarea').focus();
  } else target.click();
});
`;
