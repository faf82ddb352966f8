# docs/cli.md names every command and every option, and nothing that does not exist.
. "$TESTS/cli/common.bash"
page=$TESTS/../docs/cli.md
sed -n 's/^OPTION(\([a-z_]*\),.*/\1/p' "$TESTS/../driver/command/options.def" | tr _ - | sort > real
[ "$(wc -l < real)" -ge 30 ]
grep -v -e '^o$' real | while read -r option; do grep -q -e "--$option\b" "$page" || { echo "docs/cli.md lacks --$option"; exit 1; }; done
grep -o -e '--[a-z][a-z-]*' "$page" | sed 's/^--//' | sort -u | while read -r option; do grep -qx -e "$option" real || { echo "docs/cli.md: no option --$option"; exit 1; }; done
for command in compile run inspect explain verify bench tune; do
    grep -q "^| \`$command " "$page"
    # Every option of the table is in the help of the commands that take it.
    "$INGOT" $command --help > help
    letter=$(printf %.1s $command | tr a-z A-Z)
    sed -n "s/^OPTION(\([a-z_]*\), *\(\"[^\"]*\"\|NULL\), *\"[A-Z]*$letter[A-Z]*\".*/\1/p" "$TESTS/../driver/command/options.def" | tr _ - | grep -v '^o$' |
        while read -r option; do grep -q -e "--$option" help || { echo "$command --help lacks --$option"; exit 1; }; done
done
