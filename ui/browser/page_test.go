package browser

import (
	"bytes"
	"fmt"
	"image/png"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

func TestThePageShowsTheLeaderThatStatusShows(t *testing.T) {
	p := open(t, "n1").visit()
	for { // both change while somebody looks: they must agree at some moment
		leader, term := p.leader()
		s, err := running.status(p.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if leader == s.Leader && term == s.Term {
			if role := p.state("raft-"+leader, "role"); role != "leader" {
				t.Errorf("%s leads, and its row says %q", leader, role)
			}
			return
		}
		t.Logf("the page says %s in term %d, status %s in term %d", leader, term, s.Leader, s.Term)
		seq := get[string](p, "document.body.dataset.seq")
		p.wait("document.body.dataset.seq !== '" + seq + "'")
	}
}

func TestAKilledLeaderIsFollowedByAnother(t *testing.T) {
	p := open(t, another(currentLeader(t))).visit()
	p.killLeader(func(button string) bool { p.click(button); return true })
}

func TestAKilledLeaderIsFollowedByAnotherWithTheKeyboardAlone(t *testing.T) {
	p := open(t, another(currentLeader(t))).visit()
	p.killLeader(func(button string) bool {
		for range 300 {
			p.do(chromedp.KeyEvent("\t"))
			if get[string](p, `document.activeElement.dataset.testid || ''`) == button {
				if outline := get[string](p, `getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
					t.Error("the focus on a button cannot be seen")
				}
				if leader, _ := p.leader(); button != "node-"+leader+"-kill" { // another has come to lead meanwhile
					return false
				}
				p.do(chromedp.KeyEvent("\r"))
				return true
			}
		}
		t.Fatalf("300 times Tab do not lead to %s", button)
		return false
	})
}

// currentLeader is who leads as status says.
func currentLeader(t *testing.T) string {
	if running == nil {
		return ""
	}
	s, err := running.status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Leader
}

// killLeader has press press the button that kills the leader, unless that is another one by then, and says what must be seen.
func (p *tab) killLeader(press func(button string) bool) {
	p.Helper()
	var leader string
	var term uint64
	told := 0
	for pressed := false; !pressed; pressed = press("node-" + leader + "-kill") {
		if leader, term = p.leader(); leader == p.node {
			p.Skipf("%s, which serves the page, has come to lead", leader)
		}
		told = get[int](p, `document.querySelectorAll('[data-tag=RECOVER][data-kind=recovered]').length`)
	}
	p.wait(fmt.Sprintf(`[...document.querySelectorAll('[data-testid^="raft-"][data-role=leader]')].some(r => r.dataset.testid !== 'raft-%s' && Number(r.dataset.term) > %d)`, leader, term))
	p.wait(fmt.Sprintf(`document.querySelector('[data-testid=node-%s]').dataset.state !== 'up'`, leader))
	p.wait(fmt.Sprintf(`[...document.querySelectorAll('[data-tag=FAULT]')].some(l => l.textContent.includes('%s'))`, leader))
	p.wait(fmt.Sprintf(`document.querySelectorAll('[data-tag=RECOVER]').length > %d && [...document.querySelectorAll('[data-tag=RECOVER]')].some(l => /\d+ ms after %s/.test(l.textContent))`, told, leader))
	p.invariantsHold()
	p.shoot("killed-leader")
	p.heal()
}

func (p *tab) invariantsHold() {
	p.Helper()
	for _, name := range []string{"leader", "chosen", "prefix"} {
		if ok, count := p.state("invariant-"+name, "ok"), p.state("invariant-"+name, "count"); ok != "true" || count == "0" || count == "" {
			p.Errorf("invariant %s: ok %q after %q comparisons", name, ok, count)
		}
	}
}

func TestAMinorityThatIsCutOffHasNoQuorumAndIsHealed(t *testing.T) {
	leader := currentLeader(t)
	p := open(t, another(leader)).visit()
	p.wait(`document.querySelectorAll('[data-testid^="pick-"]').length === 7`)
	pickAll := `(all => { all.forEach(box => box.click()); return all.length; })(document.querySelectorAll('[data-testid^="pick-"]'))`
	if n := get[int](p, pickAll); n != 7 {
		t.Errorf("%d can be chosen", n)
	}
	p.click("cut")
	p.wait(`document.querySelector('[data-testid=fault-refused]').textContent.includes('nobody on the other side')`)
	get[int](p, pickAll)
	side := []string{leader, another(leader, p.node)}
	p.click("pick-" + side[0])
	p.wait(`!document.querySelector('[data-testid=cut]').disabled`)
	get[bool](p, fmt.Sprintf(`(second => { second.click(); document.querySelector('[data-testid=cut]').click(); return true; })(document.querySelector('%s'))`,
		id("pick-"+side[1]))) // faster than the page is drawn anew
	for _, name := range side {
		p.wait(fmt.Sprintf(`(r => r.dataset.quorum === 'false' && r.textContent.includes('no quorum'))(document.querySelector('%s'))`, id("raft-"+name)))
	}
	p.wait(`document.querySelectorAll('#map .wall').length === 6 && document.querySelector('[data-testid=map-label]').textContent.includes(' | ')`)
	p.shoot("cut")
	p.wait(fmt.Sprintf(`(l => l && !%s.includes(l))(document.querySelector('[data-testid=hero-leader]').dataset.leader)`, fmt.Sprintf(`['%s']`, strings.Join(side, "','"))))
	p.click("heal")
	p.wait(`document.querySelector('[data-testid=hero-health]').dataset.health === 'healthy'`)
	p.wait(`(rows => rows.length === 5 && rows.every(r => r.dataset.quorum === 'true' && r.dataset.commit === rows[0].dataset.commit))([...document.querySelectorAll('[data-testid^="raft-"][data-role]')])`)
	p.invariantsHold()
}

func TestTheTasksOfAKilledAgentAreTheSameAfterwards(t *testing.T) {
	p := open(t, "n1").visit()
	p.wait(`document.querySelector('[data-testid^="task-"][data-state=RUNNING]')`)
	task := get[struct{ ID, Agent, Container string }](p, `(t => ({ID: t.testid, Agent: t.agent, Container: t.container}))(document.querySelector('[data-testid^="task-"][data-state=RUNNING]').dataset)`)
	pid := p.state("process-"+task.Agent, "pid")
	p.click("node-" + task.Agent + "-kill")
	p.wait(fmt.Sprintf(`document.querySelector('%s').dataset.state === 'down'`, id("process-"+task.Agent)))
	p.wait(fmt.Sprintf(`document.querySelector('%s').dataset.state !== 'registered'`, id("agent-"+task.Agent)))
	p.click("node-" + task.Agent + "-restart")
	p.wait(fmt.Sprintf(`(d => d.state === 'running' && d.pid !== '%s')(document.querySelector('%s').dataset)`, pid, id("process-"+task.Agent)))
	p.wait(fmt.Sprintf(`document.querySelector('%s').dataset.state === 'registered'`, id("agent-"+task.Agent)))
	p.wait(fmt.Sprintf(`(t => t.state === 'RUNNING' && t.agent === '%s')(document.querySelector('%s').dataset)`, task.Agent, id(task.ID)))
	if container := p.state(task.ID, "container"); container != task.Container {
		t.Errorf("the task runs in %s, and before its agent was killed in %s", container, task.Container)
	}
	p.click(task.ID + "-log")
	p.wait(`document.querySelector('[data-testid=task-log]') && !document.querySelector('[data-testid=task-log]').textContent.startsWith('reading')`)
	p.heal()
}

func TestNoRequestLeavesTheOrigin(t *testing.T) {
	p := open(t, "n1", chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"))
	var mu sync.Mutex
	var asked []string
	err := chromedp.Listen(p.ctx, func(event any) {
		if e, is := event.(*network.EventRequestWillBeSent); is {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, e.Request.URL)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	p.visit()
	mu.Lock()
	defer mu.Unlock()
	streams := 0
	for _, address := range asked {
		u, err := url.Parse(address)
		if err != nil || u.Scheme != "data" && u.Host != running.addrs["n1"] {
			t.Errorf("the page asked for %s", address)
		}
		if err == nil && u.Path == "/v1/page/events" {
			streams++
		}
	}
	if len(asked) < 5 || streams != 1 {
		t.Errorf("%d streams among %q, want one", streams, asked)
	}
}

func TestThePageFitsWideAndNarrowByDayAndByNight(t *testing.T) {
	p := open(t, "n1").visit()
	shots := p.fits("")
	if links, walls := get[int](p, `document.querySelectorAll('#map svg a').length`), get[int](p, `document.querySelectorAll('#map .wall').length`); links != 5 || walls != 0 {
		t.Errorf("the map of a cluster that is well has %d members and %d walls", links, walls)
	}
	for i, shot := range shots {
		picture, err := png.Decode(bytes.NewReader(shot))
		if err != nil {
			t.Fatal(err)
		}
		r, _, _, _ := picture.At(2, 2).RGBA() // the background
		if bright := r > 0x8000; bright != (i < 2) {
			t.Errorf("screenshot %d is bright: %v", i, bright)
		}
	}
}

func TestTheColoursAreThoseThatWereChosen(t *testing.T) {
	p := open(t, "n1").visit()
	p.scheme("light", 1280, 900)
	dark := func() bool {
		return get[bool](p, `getComputedStyle(document.body).backgroundColor === 'rgb(20, 24, 28)'`)
	}
	pressed := func() string {
		return get[string](p, `[...document.querySelectorAll('#theme [aria-pressed=true]')].map(b => b.textContent).join()`)
	}
	p.wait(`document.documentElement.dataset.theme === 'light'`)
	if dark() || pressed() != "Light" {
		t.Errorf("where the system has it light, dark is %v and pressed is %q", dark(), pressed())
	}
	p.click("theme-dark")
	p.visit()
	if !dark() || pressed() != "Dark" {
		t.Errorf("dark was chosen: dark is %v and pressed is %q", dark(), pressed())
	}
}

// fits looks at the page by day and by night, wide and narrow. The screenshots are kept if somebody wants them.
func (p *tab) fits(name string) (shots [][]byte) {
	p.Helper()
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 390} {
			p.scheme(scheme, width, 900)
			p.wait(fmt.Sprintf("document.documentElement.clientWidth === %d", width))
			if over := get[int](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				p.Errorf("%s, %d: the page is %d pixels too wide", scheme, width, over)
			}
			small := get[[]string](p, `[...document.querySelectorAll('button, summary, a.to, input, select')].filter(b => b.offsetParent && Math.max(b.getBoundingClientRect().height, b.closest('label') ? b.closest('label').getBoundingClientRect().height : 0) < 24).map(b => b.outerHTML)`)
			if len(small) > 0 {
				p.Errorf("%s, %d: lower than 24 pixels: %q", scheme, width, small)
			}
			get[bool](p, `(scrollTo(0, 0), true)`)
			shot, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				p.Fatal(err)
			}
			shots = append(shots, shot)
			if dir := os.Getenv("SHOTS"); dir != "" {
				if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s%s-%d.png", name, scheme, width)), shot, 0o644); err != nil {
					p.Fatal(err)
				}
			}
		}
	}
	return shots
}

// writes is how many are made a second, of small values, by 16 clients in batches.
const writes = 2000

// The page must not fall behind a busy system: of each moment at which it showed something new, how
// long before had the first write been acknowledged that it had not shown until then?
func TestThePageStaysWithinASecondOfABusySystem(t *testing.T) {
	leader := currentLeader(t)
	p := open(t, another(leader)).visit()
	get[bool](p, `(() => { window.seen = []; const row = document.querySelector('`+id("raft-"+p.node)+`');
		new MutationObserver(() => window.seen.push([Date.now(), Number(row.dataset.commit)])).observe(row, {attributes: true, attributeFilter: ['data-commit']}); return true; })()`)
	began := time.Now()
	acks := load(p.ctx, running.addrs[leader], 8*time.Second)
	seen := get[[][2]int64](p, "window.seen")
	slices.SortFunc(acks, func(a, b [2]int64) int { return int(a[1] - b[1]) })
	var late []int64
	for i := 1; i < len(seen); i++ {
		next, _ := slices.BinarySearchFunc(acks, seen[i-1][1]+1, func(a [2]int64, index int64) int { return int(a[1] - index) })
		if next < len(acks) && acks[next][0] <= seen[i][0] {
			late = append(late, seen[i][0]-acks[next][0])
		}
	}
	slices.Sort(late)
	rate := float64(len(acks)) / time.Since(began).Seconds()
	if len(late) < 3 {
		t.Fatalf("the page changed %d times during %d writes", len(late), len(acks))
	}
	median, worst := late[len(late)/2], late[len(late)-1]
	t.Logf("%.0f writes a second: the page was behind by %d ms (median), %d ms (99 of 100), %d ms (worst), over %d changes", rate, median, late[len(late)*99/100], worst, len(late))
	if median > 1000 {
		t.Errorf("the page was behind by %d ms", median)
	}
	p.invariantsHold()
}
