# Mail::DKIM's opinion of our RSA signatures: `dkim_sign_verify.pl RECORDS FILE...` prints "FILE result" a line, where the
# result is that of the signature with selector rsa. Run by dkim_sign_verify.py.
use strict;
use warnings;

use Mail::DKIM::PublicKey;
use Mail::DKIM::Verifier;

my %records;
open(my $in, '<', shift) or die;
while (<$in>) {
  chomp;
  my ($name, $text) = split / /, $_, 2;
  $records{$name} = $text;
}

{
  no warnings 'redefine';
  *Mail::DKIM::PublicKey::fetch_async = sub {
    my ($class, %prms) = @_;
    my $on_success = $prms{Callbacks}->{Success} || sub { $_[0] };
    my $text = $records{lc "$prms{Selector}._domainkey.$prms{Domain}"};
    return sub {
      die "no key\n" unless defined $text;
      my $key = $class->parse($text);
      $key->{Selector} = $prms{Selector};
      $key->{Domain} = $prms{Domain};
      $key->check();
      return $on_success->($key);
    };
  };
}

for my $file (@ARGV) {
  open(my $message, '<:raw', $file) or die;
  local $/;
  my $verifier = Mail::DKIM::Verifier->new;
  $verifier->PRINT(<$message>);
  $verifier->CLOSE;
  my ($ours) = grep { defined $_->selector && $_->selector eq 'rsa' } $verifier->signatures;
  print "$file ", $ours ? $ours->result_detail : 'not found', "\n";
}
