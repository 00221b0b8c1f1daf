package publish

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/miekg/dns"
)

// A Key authenticates updates.
type Key struct {
	Name      string // absolute
	Algorithm string // absolute, such as "hmac-sha256."
	secret    string // base64
}

// algorithms are those of RFC 8945 section 6 that are not to be avoided:
// HMAC-MD5 is, and truncated digests are nothing a key file can name.
var algorithms = []string{dns.HmacSHA1, dns.HmacSHA224, dns.HmacSHA256, dns.HmacSHA384, dns.HmacSHA512}

// maxKeyFile is far more than a key takes. A file that is larger is something
// else that was named by mistake, such as a device.
const maxKeyFile = 64 << 10

// LoadKey reads the only key of a file in the form of BIND (tsig-keygen) or of
// Knot DNS (keymgr -t).
func LoadKey(file string) (*Key, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
		return nil, fmt.Errorf("key: %s is no key file", file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("key: %w", err)
	}
	k, err := ParseKey(string(text))
	if err != nil {
		return nil, fmt.Errorf("key: %s: %w", file, err)
	}
	return k, nil
}

var errNoKey = errors.New(`no key: want key "NAME" { algorithm hmac-sha256; secret "BASE64"; }; as tsig-keygen writes it, or what keymgr -t writes`)

// ParseKey reads the text of a key file. Errors never have the secret in them.
func ParseKey(text string) (*Key, error) {
	words := keyWords(text)
	var keys []*Key
	var err error
	switch {
	case len(words) > 0 && words[0] == "key:":
		keys, err = knotKeys(words[1:])
	default:
		keys, err = bindKeys(words)
	}
	switch {
	case err != nil:
		return nil, err
	case len(keys) == 0:
		return nil, errNoKey
	case len(keys) > 1:
		return nil, fmt.Errorf("%d keys: want a file with one", len(keys))
	}
	if err := keys[0].check(); err != nil {
		return nil, err
	}
	return keys[0], nil
}

// keyWords splits a file into words: braces, semicolons and list dashes are
// words of their own, comments and quotes are gone.
func keyWords(text string) (words []string) {
	for text != "" {
		switch {
		case strings.HasPrefix(text, "//"), text[0] == '#':
			_, text, _ = strings.Cut(text, "\n")
		case strings.HasPrefix(text, "/*"):
			_, text, _ = strings.Cut(text, "*/")
		case text[0] == '"':
			var word string
			word, text, _ = strings.Cut(text[1:], `"`)
			words = append(words, word)
		case strings.ContainsRune("{};", rune(text[0])):
			words = append(words, text[:1])
			text = text[1:]
		case strings.ContainsRune(" \t\r\n", rune(text[0])):
			text = text[1:]
		default:
			end := strings.IndexAny(text, "{}; \t\r\n\"")
			if end < 0 {
				end = len(text)
			}
			words = append(words, text[:end])
			text = text[end:]
		}
	}
	return words
}

// bindKeys reads key NAME { algorithm NAME; secret BASE64; };
func bindKeys(words []string) (keys []*Key, err error) {
	for len(words) > 0 {
		if words[0] == ";" {
			words = words[1:]
			continue
		}
		if len(words) < 3 || words[0] != "key" || words[2] != "{" {
			return nil, errNoKey
		}
		k := &Key{Name: words[1]}
		words = words[3:]
		for len(words) >= 3 && words[0] != "}" {
			if words[2] != ";" {
				return nil, fmt.Errorf("key %s: %s: want one value and a semicolon", k.Name, words[0])
			}
			if err := k.set(words[0], words[1]); err != nil {
				return nil, err
			}
			words = words[3:]
		}
		if len(words) == 0 || words[0] != "}" {
			return nil, fmt.Errorf("key %s: want a closing brace", k.Name)
		}
		words = words[1:]
		keys = append(keys, k)
	}
	return keys, nil
}

// knotKeys reads the entries of a list: - id: NAME algorithm: NAME secret:
// BASE64.
func knotKeys(words []string) (keys []*Key, err error) {
	for len(words) > 0 {
		if words[0] == "-" {
			keys = append(keys, &Key{})
			words = words[1:]
			continue
		}
		if len(keys) == 0 || len(words) < 2 {
			return nil, errNoKey
		}
		k := keys[len(keys)-1]
		if err := k.set(strings.TrimSuffix(words[0], ":"), words[1]); err != nil {
			return nil, err
		}
		words = words[2:]
	}
	return keys, nil
}

func (k *Key) set(what, value string) error {
	switch what {
	case "id":
		k.Name = value
	case "algorithm":
		k.Algorithm = value
	case "secret":
		k.secret = value
	default:
		return fmt.Errorf("key %s: unknown statement %q: want algorithm and secret", k.Name, what)
	}
	return nil
}

// check makes names absolute and says what is missing.
func (k *Key) check() error {
	name, ok := dns.IsDomainName(k.Name)
	if !ok || name == 0 {
		return fmt.Errorf("%q cannot be the name of a key", k.Name)
	}
	k.Name = dns.CanonicalName(k.Name)
	k.Algorithm = dns.CanonicalName(k.Algorithm)
	if !slices.Contains(algorithms, k.Algorithm) {
		return fmt.Errorf("key %s: algorithm %q: want hmac-sha256 or another of the SHA family", k.Name, strings.TrimSuffix(k.Algorithm, "."))
	}
	if b, err := base64.StdEncoding.DecodeString(k.secret); err != nil || len(b) == 0 {
		return fmt.Errorf("key %s: the secret is not base64", k.Name)
	}
	return nil
}
