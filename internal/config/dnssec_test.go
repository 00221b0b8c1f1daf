package config

import (
	"strings"
	"testing"
)

func TestDNSSEC(t *testing.T) {
	c, err := LoadSocks(file(t, `[dns]
validate = false
anchors = [". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D08458E880409BBC683457104237C7F8EC8D"]
unsigned = ["Corp.example", "."]
`))
	if err != nil {
		t.Fatal(err)
	}
	if d := c.DNS.DNSSEC(); d.Validate == nil || *d.Validate || len(d.Anchors) != 1 || len(d.Unsigned) != 2 || d.Unsigned[0] != "corp.example." || d.Unsigned[1] != "." {
		t.Errorf("%+v", d)
	}
	for text, want := range map[string]bool{
		"": false, "trust = \"strict\"": true, "validate = true": true, "trust = \"strict\"\nvalidate = false": false, "trust = \"strict\"\nunsigned = [\".\"]": false,
	} {
		if c, err := LoadSocks(file(t, "[dns]\n"+text+"\n")); err != nil || c.DNS.Validates() != want {
			t.Errorf("%q validates: %v, want %v; %v", text, !want, want, err)
		}
	}
	if c, err = LoadSocks(file(t, "")); err != nil || c.DNS.Validate != nil {
		t.Errorf("without a word: %+v, %v", c.DNS, err)
	}
	if _, err = LoadSocks(file(t, "[dns]\nunsigned = [\"a b\"]\n")); err == nil || !strings.Contains(err.Error(), ":2:13: dns.unsigned: \"a b\": want a zone") {
		t.Errorf("a wrong zone: %v", err)
	}
	if _, err = LoadSocks(file(t, "[dns]\nvalidate = \"yes\"\n")); err == nil || !strings.Contains(err.Error(), "dns.validate") {
		t.Errorf("a wrong switch: %v", err)
	}
}
