package publish

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestParseKey(t *testing.T) {
	for what, text := range map[string]string{
		"BIND":           "key \"k.example\" {\n\talgorithm hmac-sha512;\n\tsecret \"c2VjcmV0\";\n};\n",
		"BIND, bare":     "# one\nkey k.example { /* two\n*/ secret c2VjcmV0; algorithm HMAC-SHA512; }; // three",
		"Knot DNS":       "# hmac-sha512:k.example:c2VjcmV0\nkey:\n  - id: k.example\n    algorithm: hmac-sha512\n    secret: c2VjcmV0\n",
		"Knot DNS, flat": "key:\n- id: \"k.example.\"\n  algorithm: hmac-sha512\n  secret: \"c2VjcmV0\"\n",
	} {
		k, err := ParseKey(text)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if k.Name != "k.example." || k.Algorithm != "hmac-sha512." || k.secret != "c2VjcmV0" {
			t.Errorf("%s: %+v", what, k)
		}
	}
	for text, want := range map[string]string{
		"":                     "no key: want key",
		"options { };":         "no key: want key",
		"key k { secret x; };": `key k.: algorithm "": want hmac-sha256`,
		"key k { algorithm hmac-md5; secret c2VjcmV0; };":                               `algorithm "hmac-md5"`,
		"key k { algorithm hmac-sha256; };":                                             "key k.: the secret is not base64",
		"key k { algorithm hmac-sha256; secret hidden!; };":                             "key k.: the secret is not base64",
		"key k { algorithm hmac-sha256; secret c2VjcmV0 };":                             "want one value and a semicolon",
		"key k { algorithm hmac-sha256;":                                                "want a closing brace",
		"key k { comment c2VjcmV0; };":                                                  `unknown statement "comment"`,
		"key \"\" { algorithm hmac-sha256; secret c2VjcmV0; };":                         `"" cannot be the name of a key`,
		"key a { algorithm hmac-sha256; secret x; }; key b { algorithm hmac-sha256; };": "2 keys: want a file with one",
		"key:\n  algorithm: hmac-sha256\n":                                              "no key: want key",
	} {
		_, err := ParseKey(text)
		wantError(t, err, want)
		if err != nil && (strings.Contains(err.Error(), "c2VjcmV0") || strings.Contains(err.Error(), "hidden")) {
			t.Errorf("the secret is in the error: %v", err)
		}
	}
}

func TestLoadKey(t *testing.T) {
	dir := t.TempDir()
	_, err := LoadKey(filepath.Join(dir, "none"))
	wantError(t, err, "no such file")
	_, err = LoadKey(dir)
	wantError(t, err, "is no key file")
	bad := filepath.Join(dir, "bad")
	if err := os.WriteFile(bad, []byte("k:c2VjcmV0"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = LoadKey(bad)
	wantError(t, err, "key: "+bad+": no key: want")
}

// Whatever a file holds, there is a key that can sign or an error without the
// secret.
func FuzzKey(f *testing.F) {
	f.Add("key \"k\" { algorithm hmac-sha256; secret \"c2VjcmV0\"; };")
	f.Add("key:\n- id: k\n  algorithm: hmac-sha256\n  secret: c2VjcmV0\n")
	f.Add("key k { /* ")
	f.Add("key:\n-")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKey(text)
		if (k == nil) != (err != nil) {
			t.Fatalf("key %v, error %v", k, err)
		}
		if err == nil && k.check() != nil {
			t.Fatalf("%+v does not pass twice", k)
		}
	})
}
