package process

import "strconv"

// Version is that of the records and of the messages: raised when an older reader would
// misunderstand a newer one. Names that it does not know a reader passes over.
const Version = 1

// maxRecord bounds a record; the kernel takes less than that of arguments and environment.
const maxRecord = 4 << 20

// Problem is an error of this package, which has no fmt.
type Problem string

func (p Problem) Error() string { return string(p) }

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return Problem(what + ": " + err.Error())
}

// A Record is a list of names with values under a kind. As text:
//
//	shim 1 exit
//	code "3"
//	time "1764115200000000000"
//	end
//
// A name may come again: that is a list.
type Record struct {
	Kind   string
	fields []field
	err    error // the first value that was not what it should be
}

type field struct{ name, value string }

// Add adds a value.
func (r *Record) Add(name, value string) { r.fields = append(r.fields, field{name, value}) }

// AddInt adds a number, unless it is 0, which is what a missing one reads as.
func (r *Record) AddInt(name string, value int64) {
	if value != 0 {
		r.Add(name, strconv.FormatInt(value, 10))
	}
}

// AddBool adds a truth.
func (r *Record) AddBool(name string, value bool) {
	if value {
		r.Add(name, "1")
	}
}

// AddAll adds a list.
func (r *Record) AddAll(name string, values []string) {
	for _, v := range values {
		r.Add(name, v)
	}
}

// Get returns the first value of a name, "" if there is none.
func (r *Record) Get(name string) string {
	for _, f := range r.fields {
		if f.name == name {
			return f.value
		}
	}
	return ""
}

// All returns the values of a name.
func (r *Record) All(name string) []string {
	var values []string
	for _, f := range r.fields {
		if f.name == name {
			values = append(values, f.value)
		}
	}
	return values
}

// Int returns a number, 0 if there is none. One that is none is the record's Err.
func (r *Record) Int(name string) int64 {
	text := r.Get(name)
	if text == "" {
		return 0
	}
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil && r.err == nil {
		r.err = Problem("record " + r.Kind + ": " + name + " is no number: " + strconv.Quote(text))
	}
	return value
}

// Err is what Int found, or that the record is of another kind.
func (r *Record) Err(kind string) error {
	if r.Kind != kind {
		return Problem("record of kind " + strconv.Quote(r.Kind) + ", not " + kind)
	}
	return r.err
}

// Encode returns the text.
func (r *Record) Encode() []byte {
	out := strconv.AppendInt(append(make([]byte, 0, 512), "shim "...), Version, 10)
	out = append(append(append(out, ' '), r.Kind...), '\n')
	for _, f := range r.fields {
		out = append(append(out, f.name...), ' ')
		out = append(strconv.AppendQuote(out, f.value), '\n')
	}
	return append(out, "end\n"...)
}

// Decode reads a text, which may come from anywhere.
func Decode(text []byte) (Record, error) {
	if len(text) > maxRecord {
		return Record{}, Problem("record of " + strconv.Itoa(len(text)) + " bytes: too long")
	}
	line, rest, ok := cutLine(string(text))
	const magic = "shim "
	if !ok || len(line) < len(magic) || line[:len(magic)] != magic {
		return Record{}, Problem("not a record of a shim")
	}
	version, kind, _ := cut(line[len(magic):], ' ')
	if v, err := strconv.Atoi(version); err != nil || v != Version {
		return Record{}, Problem("record of version " + strconv.Quote(version) + "; this program reads version " + strconv.Itoa(Version))
	}
	if !word(kind) {
		return Record{}, Problem("record of kind " + strconv.Quote(kind))
	}
	r := Record{Kind: kind}
	for {
		if line, rest, ok = cutLine(rest); !ok {
			return Record{}, Problem("record " + kind + " has no end")
		}
		if line == "end" {
			break
		}
		name, quoted, _ := cut(line, ' ')
		value, err := strconv.Unquote(quoted)
		if err != nil || !word(name) || quoted[0] != '"' {
			return Record{}, Problem("record " + kind + ": line " + strconv.Quote(line))
		}
		r.Add(name, value)
	}
	if rest != "" {
		return Record{}, Problem("record " + kind + " goes on behind its end")
	}
	return r, nil
}

// word reports whether a text is a name: small letters and hyphens.
func word(text string) bool {
	for i := range len(text) {
		if (text[i] < 'a' || text[i] > 'z') && text[i] != '-' {
			return false
		}
	}
	return text != "" && text != "end"
}

func cut(text string, at byte) (before, after string, found bool) {
	for i := range len(text) {
		if text[i] == at {
			return text[:i], text[i+1:], true
		}
	}
	return text, "", false
}

func cutLine(text string) (line, rest string, ok bool) { return cut(text, '\n') }
