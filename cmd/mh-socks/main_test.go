package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sctpmh/mh/internal/clitest"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"mh-socks": main}) }

func TestScripts(t *testing.T) { clitest.Run(t, nil) }
