package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// located says in which file, line and column an error is, and at which key.
func located(file string, text []byte, err error) error {
	var strict *toml.StrictMissingError
	if errors.As(err, &strict) {
		var all []error
		for _, e := range strict.Errors {
			row, col := e.Position()
			all = append(all, fmt.Errorf("%s:%d:%d: unknown key %s", file, row, col, strings.Join(e.Key(), ".")))
		}
		return errors.Join(all...)
	}
	var value *valueError
	if errors.As(err, &value) {
		if at := bytes.Index(text, value.raw); at >= 0 {
			row, col := position(text, at)
			return fmt.Errorf("%s:%d:%d: %s%w", file, row, col, prefix(keyAt(text, at)), value.err)
		}
		return fmt.Errorf("%s: %w", file, value.err)
	}
	var decode *toml.DecodeError
	if errors.As(err, &decode) {
		row, col := decode.Position()
		return fmt.Errorf("%s:%d:%d: %s%s", file, row, col, prefix(strings.Join(decode.Key(), ".")), strings.TrimPrefix(decode.Error(), "toml: "))
	}
	return fmt.Errorf("%s: %w", file, err)
}

func prefix(key string) string {
	if key == "" {
		return ""
	}
	return key + ": "
}

// position turns an offset into line and column, both from 1 on.
func position(text []byte, at int) (row, col int) {
	before := text[:at]
	return 1 + bytes.Count(before, []byte("\n")), at - bytes.LastIndexByte(before, '\n')
}

// keyAt returns the key of the value at an offset, with its table.
func keyAt(text []byte, at int) string {
	table, key := "", ""
	for line := range strings.Lines(string(text[:at])) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") && !strings.Contains(line, "=") {
			table = strings.Trim(line, "[] ") + "."
		}
		if k, _, ok := strings.Cut(line, "="); ok {
			key = strings.TrimSpace(k)
		}
	}
	if key == "" {
		return ""
	}
	return table + key
}
