package mesoswire

import (
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by what is wrong with bytes that are no message, call or event.
var ErrMalformed = errors.New("mesoswire: malformed")

// FieldError says which field is wrong. It wraps ErrMalformed.
type FieldError struct {
	// Field is a path as in accept.operations[0].launch.task_infos[2].agent_id, empty for
	// the whole.
	Field string
	// Problem says what is wrong with it, as in "is missing".
	Problem string
}

func (e *FieldError) Error() string {
	if e.Field == "" {
		return "mesoswire: malformed: it " + e.Problem
	}
	return fmt.Sprintf("mesoswire: malformed: %s %s", e.Field, e.Problem)
}

// Unwrap is ErrMalformed.
func (e *FieldError) Unwrap() error { return ErrMalformed }

// TooLongError says that something is longer than its bound. It wraps ErrMalformed.
type TooLongError struct{ Bytes, Bound int }

func (e *TooLongError) Error() string {
	return fmt.Sprintf("mesoswire: %d bytes, must be at most %d", e.Bytes, e.Bound)
}

// Unwrap is ErrMalformed.
func (e *TooLongError) Unwrap() error { return ErrMalformed }

func malformed(field, problem string) error { return &FieldError{Field: field, Problem: problem} }

func missing(field string) error { return malformed(field, "is missing") }

// in puts a field in front of the path of err, if there is one.
func in(field string, err error) error {
	var f *FieldError
	if !errors.As(err, &f) {
		return err
	}
	if f.Field != "" {
		field += "." + f.Field
	}
	return &FieldError{Field: field, Problem: f.Problem}
}

// inList is in for a member of a list.
func inList(field string, i int, err error) error {
	if err == nil {
		return nil
	}
	return in(fmt.Sprintf("%s[%d]", field, i), err)
}

// first is the first of errs that is one.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
