package browser

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// exceptions are those that nothing on the page has caught, until now.
func (p *tab) exceptions() func() []string {
	p.Helper()
	var mu sync.Mutex
	var thrown []string
	err := chromedp.Listen(p.ctx, func(event any) {
		if e, is := event.(*runtime.EventExceptionThrown); is {
			mu.Lock()
			defer mu.Unlock()
			thrown = append(thrown, fmt.Sprint(e.ExceptionDetails.Text, " ", e.ExceptionDetails.Exception))
		}
	})
	if err != nil {
		p.Fatal(err)
	}
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(thrown)
	}
}

// record presses the button and returns the rows of the file that is saved.
func (p *tab) record() (file string, rows []string) {
	p.Helper()
	dir := p.TempDir()
	if _, err := chromedp.Call(p.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorAllow, DownloadPath: dir}); err != nil {
		p.Fatal(err)
	}
	p.click("record")
	for deadline := time.Now().Add(patience); ; <-time.After(20 * time.Millisecond) {
		files, err := filepath.Glob(filepath.Join(dir, "*.ndjson"))
		if err != nil || time.Now().After(deadline) {
			p.Fatalf("no file is saved: %v", err)
		}
		if len(files) == 0 {
			continue
		}
		data, err := os.ReadFile(files[0])
		if err != nil {
			p.Fatal(err)
		}
		if rows = strings.Split(strings.TrimSuffix(string(data), "\n"), "\n"); strings.HasSuffix(string(data), "\n") {
			return files[0], rows
		}
	}
}

// load opens a file of that text, as a person does who chooses it.
func (p *tab) load(text string) {
	p.Helper()
	file := filepath.Join(p.TempDir(), "a.ndjson")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
	p.do(chromedp.SetUploadFiles(chromedp.CSS(id("replay-file")), []string{file}))
}

// message is one of a recording, as a person would write one.
const message = `{"at":%d,"whole":%v,"data":{"seq":%d,"parts":{"hero":{"cluster":"c","serving":"s%d","health":"healthy","groups":[],"up":1,"nodes":1}}}}`

func recordingOf(rows ...string) string {
	return fmt.Sprintf(`{"recording":"synod page","version":1,"messages":%d}`, len(rows)) + "\n" + strings.Join(rows, "\n") + "\n"
}

func TestARecordingIsReplayedAfterItsNodeHasDied(t *testing.T) {
	leader := currentLeader(t)
	p := open(t, another(leader)).visit()
	thrown := p.exceptions()
	commit := p.state("raft-"+p.node, "commit")
	if err := running.write(p.ctx, running.addrs[leader]); err != nil {
		t.Fatal(err)
	}
	p.wait(fmt.Sprintf(`document.querySelector('%s').dataset.commit !== '%s'`, id("raft-"+p.node), commit))
	later := p.state("raft-"+p.node, "commit")
	_, rows := p.record()
	var head struct{ Messages int }
	if err := json.Unmarshal([]byte(rows[0]), &head); err != nil || head.Messages != len(rows)-1 || head.Messages < 3 {
		t.Fatalf("%d messages in a file of %d rows: %v", head.Messages, len(rows), err)
	}
	for _, row := range rows {
		if !json.Valid([]byte(row)) {
			t.Fatalf("no JSON: %.200s", row)
		}
	}
	if err := running.fault(p.ctx, running.addrs[leader], fmt.Sprintf(`{"kind":"kill","node":"%s"}`, p.node)); err != nil {
		t.Fatal(err)
	}
	p.wait(`document.body.dataset.connected === 'false'`)
	p.load(strings.Join(rows, "\n") + "\n")
	p.wait(`document.body.dataset.replay === 'true' && document.activeElement.dataset.testid === 'replay-at'`)
	if word, breaks := get[string](p, `document.querySelector('[data-testid=replay-word]').textContent`), get[int](p, `document.querySelectorAll('[data-testid$="-kill"], [data-testid=cut]').length`); word != "REPLAY" || breaks != 0 {
		t.Errorf("the replay is marked %q and has %d buttons that break something", word, breaks)
	}
	press := func(key, until string) {
		t.Helper()
		p.do(chromedp.KeyEvent(key))
		p.wait(until)
	}
	shows := func(commit string) string {
		return fmt.Sprintf(`document.querySelector('%s').dataset.commit === '%s'`, id("raft-"+p.node), commit)
	}
	press(kb.End, shows(later))
	press(kb.Home, `document.querySelector('[data-testid=replay-at]').value === '0' && document.body.dataset.seq === '`+get[string](p, `String(JSON.parse(`+fmt.Sprintf("%q", rows[1])+`).data.seq)`)+`'`)
	press(kb.ArrowRight, `document.querySelector('[data-testid=replay-at]').value === '1'`)
	get[bool](p, `(s => { s.value = '16'; s.dispatchEvent(new Event('change')); return true; })(document.querySelector('[data-testid=replay-speed]'))`)
	p.click("replay-play")
	p.wait(fmt.Sprintf(`Number(document.querySelector('[data-testid=replay-at]').value) === %d && document.querySelector('[data-testid=replay-play]').textContent === 'Play'`, head.Messages-1))
	p.wait(shows(later))
	p.click("replay-live")
	p.wait(`document.body.dataset.replay === 'false' && document.querySelector('[data-testid$="-kill"]')`)
	if err := running.fault(p.ctx, running.addrs[leader], `{"kind":"heal"}`); err != nil {
		t.Fatal(err)
	}
	p.wait(`document.body.dataset.connected === 'true'`)
	p.heal()
	if list := thrown(); len(list) > 0 {
		t.Errorf("exceptions: %q", list)
	}
}

// A file may come from anybody. Whatever is in it, the page stays, and says in plain words what is wrong.
func TestAFileThatIsNoRecordingIsToldAndDoesNoHarm(t *testing.T) {
	p := open(t, "n1").visit()
	thrown := p.exceptions()
	one, two := fmt.Sprintf(message, 1000, true, 1, 1), fmt.Sprintf(message, 2000, false, 2, 2)
	part := func(name, part string) string {
		return recordingOf(one, `{"at":2000,"whole":false,"data":{"seq":2,"parts":{"`+name+`":`+part+`}}}`)
	}
	element := `{"tag":"img","attrs":{"src":"/x","onerror":"window.harmed = 1"},"kids":[]}`
	for _, c := range []struct{ name, text, says string }{
		{"empty", "", "no recording"},
		{"prose", "<script>window.harmed = 1</script>", "no recording"},
		{"other JSON", `{"recording":"else"}`, "no recording"},
		{"null", "null\nnull\n", "no recording"},
		{"newer", `{"recording":"synod page","version":2}`, "no recording"},
		{"no messages", recordingOf(), "empty"},
		{"cut", recordingOf(one, two)[:len(recordingOf(one, two))-20], "cut or damaged at message 2 of 2"},
		{"cut at a row", strings.TrimSuffix(recordingOf(one, two), two+"\n"), "1 of 2 messages"},
		{"no time", recordingOf(one, `{"data":{}}`), "no time"},
		{"a date that no clock has", recordingOf(one, strings.Replace(two, "2000", "1e300", 1)), "no time"},
		{"prototype", part("__proto__", `{"hero":1}`), "part that no page has"},
		{"part of text", part("hero", `"<b>"`), "part that no page has"},
		{"deep", part("work", strings.Repeat("[", 50000)+strings.Repeat("]", 50000)), "too large"},
		{"lines", recordingOf(one, `{"at":2000,"whole":false,"data":{"seq":2,"lines":[{"time":1,"seq":1,"tag":"x","text":`+element+`}]}}`), "timeline is none"},
		{"groups that are none", part("hero", `{"groups":7}`), "cannot be shown"},
		{"an element for a name", part("work", `{"master":`+element+`,"term":1,"agents":[],"offered":[],"frameworks":[],"offers":[],"tasks":[]}`), "[object Object]"},
		{"markup for a name", part("hero", `{"serving":"<img src=/x onerror='window.harmed = 1'>","groups":[]}`), ""},
		{"actors of themselves", part("actors/n1", `[`+strings.Repeat(`{"name":"a","parent":"a"},{"name":"b"},{"name":"a","parent":"b"},`, 200)+`{"name":"b"}]`), "601 actors"},
		{"a link to elsewhere", part("node/n9", `{"name":"n9","state":"up","api":"elsewhere.example","gossip":{}}`), ""},
	} {
		get[bool](p, `(told => { if (told) told.data = ''; return true; })(document.querySelector('#tools [role=status]').firstChild)`)
		p.load(c.text)
		p.wait(`document.querySelector('#tools [role=status]').textContent || document.body.dataset.replay === 'true' && document.activeElement.dataset.testid === 'replay-at'`)
		if get[bool](p, `document.body.dataset.replay === 'true'`) {
			p.wait(`document.activeElement.dataset.testid === 'replay-at'`)
			p.do(chromedp.KeyEvent(kb.End))
			p.wait(`(s => s.value === s.max)(document.querySelector('[data-testid=replay-at]'))`)
			get[bool](p, `new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))`)
		}
		p.wait(fmt.Sprintf(`document.body.textContent.includes(%q)`, c.says))
		if found := get[int](p, `document.querySelectorAll('img, body script, iframe, [onerror], a[href*="elsewhere"]').length + (window.harmed ? 1 : 0) + (({}).hero ? 1 : 0)`); found != 0 {
			t.Errorf("%s: %d things of the file have become part of the page", c.name, found)
		}
		if get[bool](p, `document.body.dataset.replay === 'true'`) {
			p.click("replay-live")
		}
		p.wait(`document.body.dataset.replay === 'false' && document.querySelector('[data-testid=hero-health]')`)
		if list := thrown(); len(list) > 0 {
			t.Fatalf("%s: %q", c.name, list)
		}
	}
}

func TestATapeKeepsTheNewestMessagesAndBeginsWithWhatTheyFollow(t *testing.T) {
	p := open(t, "n1")
	p.do(chromedp.Navigate("http://" + running.addrs[p.node] + "/ui/page.css"))
	type result struct {
		Messages, Gone int
		Size           int
		Same, Read     bool
	}
	tapes := get[[]result](p, `(async () => {
		const {newTape, read} = await import('/ui/tape.js'), every = newTape(1e9, 1e9), few = newTape(1000, 1e9), small = newTape(1e9, 2000);
		for (let i = 1; i <= 100; i++) {
			const parts = {['node/n' + i % 7]: {name: 'n', i}};
			if (i % 10 === 0) parts['node/n3'] = null;
			const m = JSON.stringify({seq: i, parts, lines: i % 5 ? undefined : [{seq: i, time: i * 100, tag: 'NODE', text: 'x'}]});
			for (const t of [every, few, small]) t.add(m, i === 1, i * 100);
		}
		const last = JSON.stringify(every.moments().at(-1));
		return [every, few, small].map(t => ({Messages: t.about().messages, Gone: t.about().gone, Size: t.about().size, Same: JSON.stringify(t.moments().at(-1)) === last,
			Read: JSON.stringify(read(t.file()).moments) === JSON.stringify(t.moments())}));
	})()`)
	for i, tape := range tapes {
		if !tape.Same || !tape.Read {
			t.Errorf("tape %d: the last moment is as without a bound: %v; the file gives the same moments: %v", i, tape.Same, tape.Read)
		}
	}
	if every, few, small := tapes[0], tapes[1], tapes[2]; every.Gone != 0 || every.Messages != 100 || few.Gone != 89 || few.Messages != 12 || small.Size > 2000 || small.Gone+small.Messages != 101 {
		t.Errorf("the tapes have %+v", tapes)
	}
}

func TestAnEventShowsThePageAsItWasWhenItCame(t *testing.T) {
	p := open(t, "n1").visit()
	newest := func(kind string) string {
		return get[string](p, fmt.Sprintf(`(l => l ? l.dataset.testid : '')(document.querySelector('[data-kind="%s"]'))`, kind))
	}
	before := newest("new leader")
	leader, term := p.leader()
	if err := running.transfer(p.ctx, p.node, another(leader, p.node)); err != nil {
		t.Fatal(err)
	}
	p.wait(fmt.Sprintf(`Number(document.querySelector('[data-testid=hero-leader]').dataset.term) > %d && (l => l && l.dataset.testid !== '%s')(document.querySelector('[data-kind="new leader"]'))`, term, before))
	event := newest("new leader")
	then := p.state("raft-"+p.node, "commit")
	if err := running.write(p.ctx, running.addrs[p.node]); err != nil {
		t.Fatal(err)
	}
	p.wait(fmt.Sprintf(`Number(document.querySelector('%s').dataset.commit) > %s`, id("raft-"+p.node), then))
	p.do(chromedp.Focus(chromedp.CSS(id("timeline"))))
	for range 400 {
		p.do(chromedp.KeyEvent(kb.ArrowDown))
		if get[string](p, `document.activeElement.closest('li') ? document.activeElement.closest('li').dataset.testid : ''`) == event {
			break
		}
	}
	p.do(chromedp.KeyEvent("\r"))
	p.wait(`document.body.dataset.replay === 'true' && document.querySelector('[data-testid=event-json]')`)
	shown := get[string](p, `document.querySelector('[data-testid=event-json]').textContent`)
	if !strings.Contains(shown, `"kind": "new leader"`) || !strings.Contains(shown, "as it was when this came") {
		t.Errorf("the event is shown as %s", shown)
	}
	if !get[bool](p, fmt.Sprintf(`Number(document.querySelector('%s').dataset.commit) <= %s && !!document.querySelector('%s')`, id("raft-"+p.node), then, id(event))) {
		t.Errorf("entry %s is shown as committed, when the event came it was %s", p.state("raft-"+p.node, "commit"), then)
	}
	p.fits("replay-")
	p.click("replay-live")
	p.wait(fmt.Sprintf(`document.body.dataset.replay === 'false' && Number(document.querySelector('%s').dataset.commit) > %s`, id("raft-"+p.node), then))
	get[bool](p, `(l => { l.querySelector('button').click(); return true; })(document.querySelector('[data-testid=timeline] li:last-child'))`)
	p.wait(`document.querySelector('[data-testid=event-json]').textContent.includes('There is no recording') && document.body.dataset.replay === 'false'`)
}

// The tour is walked through as a class does, with one wrong prediction.
func TestTheTourBreaksRealProcessesAndTellsWhatCameOfIt(t *testing.T) {
	p := open(t, "n1").visit()
	thrown := p.exceptions()
	p.click("tour")
	for i, step := range []struct {
		predict int
		tells   string
	}{
		{-1, `leads in term \d+. 5 of 5 nodes follow`},
		{-1, `Entry \d+ of term \d+ was acknowledged after \d+ ms. After \d+ ms the page saw it committed on all 5`},
		{1, `As you foretold: n\d leads \w+ in term \d+, \d+ ms after n\d was lost. Entry \d+ is on`},
		{0, `You foretold “Go on.*But: After \d+ ms n\d, n\d had no quorum. n\d leads the other 3 in term \d+; they committed entry \d+ in \d+ ms`},
		{2, `As you foretold: \d+ ms after the cut was healed all 5 logs are equal up to entry \d+.*never found a difference`},
		{2, `As you foretold: a\d was process \d+ and is process \d+, registered again \d+ ms after it was started. \S+ runs in the same container`},
	} {
		p.wait(fmt.Sprintf(`document.querySelector('#h-tour').textContent.includes('step %d of 6') && document.querySelector('[data-testid=tour-next]').dataset.phase === 'ask'`, i+1))
		if i == 3 {
			p.fits("tour-")
		}
		if step.predict >= 0 {
			if get[string](p, `document.querySelector('[data-testid=tour-next]').ariaDisabled`) != "true" {
				t.Errorf("step %d can be done without a prediction", i+1)
			}
			p.click(fmt.Sprintf("predict-%d", step.predict))
		}
		p.wait(`document.querySelector('[data-testid=tour-next]').ariaDisabled === 'false'`)
		for phase := "ask"; phase == "ask"; phase = p.state("tour-next", "phase") { // on a busy machine a write may be refused, which it tells
			p.click("tour-next")
			p.wait(`document.querySelector('[data-testid=tour-next]').dataset.phase !== 'wait' && document.querySelector('[data-testid=tour-said]').textContent`)
		}
		if told := get[string](p, `document.querySelector('[data-testid=tour-said]').textContent`); !get[bool](p, fmt.Sprintf("/%s/.test(%q)", step.tells, told)) {
			t.Errorf("step %d tells %q", i+1, told)
		} else if i == 3 && !get[bool](p, fmt.Sprintf(`(m => Number(m[1]) > Number(m[2]))(/committed entry (\d+) .* stands at (\d+)/.exec(%q))`, told)) {
			t.Errorf("those that are cut off have what the others have written: %q", told)
		}
		p.click("tour-next")
	}
	p.wait(`document.querySelector('#tour').textContent.includes('You foretold 3 of 4')`)
	p.click("tour-end")
	p.wait(`document.activeElement.dataset.testid === 'tour'`)
	p.invariantsHold()
	p.heal()
	if list := thrown(); len(list) > 0 {
		t.Errorf("exceptions: %q", list)
	}
}
