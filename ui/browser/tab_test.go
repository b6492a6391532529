package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// tab is the page of one node in a browser of its own.
type tab struct {
	*testing.T
	ctx  context.Context
	node string // that serves it
}

// open opens the page of a node once the whole cluster is well.
func open(t *testing.T, node string, options ...chromedp.ExecAllocatorOption) *tab {
	t.Helper()
	if running == nil {
		t.Skip("there is no Chromium here: apt-get install --no-install-recommends chromium")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	flags := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(browserPath()), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1280, 1000))
	ctx, cancel = chromedp.NewExecAllocator(ctx, append(flags, options...)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return &tab{t, ctx, node}
}

// visit goes to the page and waits until it shows a cluster that is well.
func (p *tab) visit() *tab {
	p.Helper()
	return p.visitAt("http://" + running.addrs[p.node])
}

func (p *tab) visitAt(url string) *tab {
	p.Helper()
	p.do(chromedp.Navigate(url + "/?motion=off"))
	p.wait(`document.body.dataset.ready === 'true'`)
	p.wait(`document.querySelector('[data-testid=hero-health]').dataset.health === 'healthy' && document.querySelectorAll('[data-testid^="raft-"][data-quorum=true]').length === 5`)
	return p
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	if err := chromedp.Do(p.ctx, actions...); err != nil {
		p.Fatal(err)
	}
}

// get evaluates an expression, or what it promises, as JSON.
func get[T any](p *tab, expression string) T {
	p.Helper()
	text, err := chromedp.Run(p.ctx, chromedp.Evaluate[string]("(async () => JSON.stringify(await ("+expression+")) || 'null')()", chromedp.EvalAwaitPromise))
	if err != nil {
		p.Fatalf("%s: %v", expression, err)
	}
	var value T
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		p.Fatalf("%s is %s: %v", expression, text, err)
	}
	return value
}

// wait waits for a change of the document after which an expression is true.
func (p *tab) wait(expression string) {
	p.Helper()
	promise := `new Promise(done => {
		const look = () => { try { if (` + expression + `) { watch.disconnect(); done(true); } } catch (e) {} };
		const watch = new MutationObserver(look);
		watch.observe(document.documentElement, {subtree: true, childList: true, attributes: true, characterData: true});
		look();
	})`
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Evaluate[bool](promise, chromedp.EvalAwaitPromise)); err != nil {
		text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
		p.Fatalf("waited for %s: %v; the page:\n%s\nand the cluster:\n%.6000s", expression, err, text, last(running.text(), 4000))
	}
}

func last(text string, n int) string { return text[max(0, len(text)-n):] }

// id is the selector of a data-testid.
func id(name string) string { return `[data-testid="` + name + `"]` }

// state is what an element says of itself in data-NAME.
func (p *tab) state(testid, name string) string {
	p.Helper()
	return get[string](p, fmt.Sprintf(`(document.querySelector('%s') || {dataset: {}}).dataset.%s || ''`, id(testid), name))
}

// click clicks a button, as a person does.
func (p *tab) click(testid string) {
	p.Helper()
	p.wait(fmt.Sprintf(`!document.querySelector('%s').disabled`, id(testid)))
	p.do(chromedp.Click(chromedp.CSS(id(testid))))
}

// heal ends all faults and waits until the page shows a cluster that is well.
func (p *tab) heal() {
	p.Helper()
	if err := running.fault(p.ctx, running.addrs[p.node], `{"kind":"heal"}`); err != nil {
		p.Fatal(err)
	}
	p.wait(`document.querySelector('[data-testid=hero-health]').dataset.health === 'healthy' && document.querySelectorAll('[data-testid^="raft-"][data-quorum=true]').length === 5`)
}

// leader is who leads by the page, and in which term.
func (p *tab) leader() (string, uint64) {
	p.Helper()
	at := get[struct {
		Leader string
		Term   string
	}](p, `{Leader: document.querySelector('[data-testid=hero-leader]').dataset.leader, Term: document.querySelector('[data-testid=hero-leader]').dataset.term}`)
	var term uint64
	fmt.Sscan(at.Term, &term)
	return at.Leader, term
}

// another is a node other than that.
func another(not ...string) string {
	for _, name := range []string{"n5", "n4", "n3", "n2", "n1"} {
		if !strings.Contains(strings.Join(not, " "), name) {
			return name
		}
	}
	return ""
}

// scheme shows the page as by day or by night, so wide and so high.
func (p *tab) scheme(scheme string, width, height int64) {
	p.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err != nil {
		p.Fatal(err)
	}
	p.do(chromedp.EmulateViewport(width, height))
}

// shoot keeps a picture of the page where SHOTS says.
func (p *tab) shoot(name string) {
	p.Helper()
	dir := os.Getenv("SHOTS")
	if dir == "" {
		return
	}
	shot, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), shot, 0o644)
	}
	if err != nil {
		p.Fatal(err)
	}
}
