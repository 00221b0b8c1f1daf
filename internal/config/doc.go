// Package config reads the configuration of the daemons: TOML files, strictly,
// with environment variables and flags on top of them. Precedence: flags,
// environment, file, default. Every error names the file, line and key, or the
// variable or flag, and says what is allowed.
package config
